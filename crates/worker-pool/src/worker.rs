//! Who runs the jobs: one future for threads and tasks alike.

use core::{
    fmt,
    future::{Future, poll_fn},
    mem,
    panic::{RefUnwindSafe, UnwindSafe},
    pin::Pin,
    task::{Context, Poll},
};

use alloc::boxed::Box;

use crossbeam_utils::CachePadded;
use tidegate_core::{Closed, event::Waiter, primitive::Arc};
#[cfg(feature = "std")]
use tidegate_core::{
    TimedOut, Wait,
    wait::spin::{Spin, looking_pays},
};

#[cfg(feature = "std")]
use crate::threads::Post;
use crate::{driven::Driven, panic::contain, shared::Shared, stats::Record, task::Job};

/// A worker of a pool, for an executor to drive: `.await` it in a task or `.wait()` for it on a thread.
///
/// It resolves once the pool is closed and no job is left. Jobs run inside of its poll, and it gives its executor a
/// turn after each of them.
///
/// # Cancel safety
///
/// A worker can be dropped at any time between two polls, which is between two jobs, or in a
/// [future](crate::WorkerPool::submit_future), which is cancelled then. A job that had been handed to it, and not begun,
/// waits for the next worker.
///
/// # Panics
///
/// Not with std. Without it a job's panic cannot be caught: unless it aborts, it comes out of the worker's poll. The
/// job's handle resolves all the same, but this worker is lost; spawn another.
///
/// # Examples
///
/// ```
/// use tidegate_worker_pool::{Wait, WorkerPool};
///
/// let pool = WorkerPool::detached(16);
/// let worker = pool.worker();
/// let thread = std::thread::spawn(|| worker.wait());
/// assert_eq!(pool.submit(|| 6 * 7).wait().wait()?, 42);
/// pool.close();
/// thread.join().unwrap();
/// # Ok::<(), tidegate_worker_pool::JoinError>(())
/// ```
#[must_use = "futures do nothing unless awaited or waited for"]
pub struct Worker {
    state: State,
}

enum State {
    Fresh(Seat),
    // Its pop borrows from the pool it owns, which only the compiler can write down.
    Working(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

impl Worker {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { state: State::Fresh(Seat::new(shared)) }
    }

    /// Lends the calling thread to the pool: runs jobs until the pool is closed and none is left.
    ///
    /// It does what [`wait`](tidegate_core::Wait::wait) would do, as the pool's own threads do it: without turns for others
    /// between two jobs, and looking for the next job for a while before it sleeps.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_worker_pool::WorkerPool;
    ///
    /// let pool = WorkerPool::detached(16);
    /// let handle = pool.try_submit(|| 6 * 7).unwrap();
    /// pool.close();
    /// pool.worker().run();
    /// assert!(handle.is_finished());
    /// ```
    #[cfg(feature = "std")]
    pub fn run(self) {
        match self.state {
            State::Fresh(seat) => work_alone(seat, None),
            State::Working(work) => work.wait(),
            State::Over => {}
        }
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let work = match mem::replace(&mut self.state, State::Over) {
            State::Fresh(seat) => Box::pin(work(seat)),
            State::Working(work) => work,
            State::Over => panic!("polled after it was ready"),
        };
        self.state = State::Working(work);
        let State::Working(work) = &mut self.state else { return Poll::Ready(()) };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.state = State::Over;
        }
        polled
    }
}

// The panics of its jobs are contained.
impl UnwindSafe for Worker {}
impl RefUnwindSafe for Worker {}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// Runs jobs until there are no more.
async fn work(mut seat: Seat) {
    seat.start();
    loop {
        let job = if seat.next.is_some() {
            seat.resumed().await;
            seat.next.take()
        } else {
            seat.ask();
            match seat.take() {
                Some(job) => Some(job),
                None => match seat.wait(|| false).await {
                    Ok(job) => {
                        seat.shared.intake.pass_wake_on();
                        Some(job)
                    }
                    Err(Closed) => return,
                },
            }
        };
        let Some(job) = job else { continue };
        match job {
            Job::Driven(driven) => seat.run_driven(*driven).await,
            job => seat.run(job),
        }
        take_turns().await;
    }
}

/// Runs jobs until there are no more, on a thread that has nothing else to do; or, if it is the pool's own, until it is one too
/// many.
#[cfg(feature = "std")]
pub(crate) fn work_alone(mut seat: Seat, mut post: Option<Post<'_>>) {
    seat.start();
    loop {
        let found = seat.take_next().or_else(|| {
            seat.ask();
            seat.take().or_else(|| seat.watch())
        });
        let woken = || {
            let job = seat.sleep(post.as_mut());
            job.inspect(|_| seat.shared.intake.pass_wake_on())
        };
        let Some(job) = found.or_else(woken) else { return };
        if let Some(post) = &mut post {
            post.begin(&seat.shared);
        }
        seat.run(job);
        if post.as_ref().is_some_and(Post::yields) {
            return;
        }
    }
}

/// Is pending once, and woken at once.
async fn take_turns() {
    let mut polled = false;
    poll_fn(|cx| {
        if polled {
            return Poll::Ready(());
        }
        polled = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A worker's place in the crew. Dropped, it is taken out of every count.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    record: Arc<CachePadded<Record>>,
    /// How often it has begun to rest, or to look for a job: odd while it does.
    turns: u64,
    started: bool,
    // INVARIANT: a hand-off counts on it for a job.
    asked: bool,
    /// What it has to do next: the lane that it runs has another job.
    next: Option<Job>,
    // How long to look for a job before going to sleep.
    #[cfg(feature = "std")]
    spin: Spin,
}

impl Seat {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.crew.join();
        Self {
            shared: shared.clone(),
            record: shared.counters.open(),
            turns: 0,
            started: false,
            asked: false,
            next: None,
            #[cfg(feature = "std")]
            spin: Spin::new(),
        }
    }

    fn start(&mut self) {
        self.record.rise(&mut self.turns);
        self.shared.crew.start();
        self.started = true;
    }

    /// Tells a hand-off that it waits for a job, unless it has.
    pub(crate) fn ask(&mut self) {
        if !self.asked {
            self.asked = true;
            self.shared.intake.ask();
        }
    }

    /// Takes what it has to do next, when there is no pause any more.
    #[cfg(feature = "std")]
    #[inline]
    fn take_next(&mut self) -> Option<Job> {
        if self.next.is_some() {
            self.resumed().wait();
        }
        self.next.take()
    }

    /// Waits for the end of a pause.
    fn resumed(&mut self) -> impl Future<Output = ()> + '_ {
        let mut waiter = Waiter::new();
        poll_fn(move |cx| self.shared.intake.poll_resumed(&mut waiter, cx))
    }

    /// Takes a job if there is one.
    #[inline]
    fn take(&self) -> Option<Job> {
        self.shared.intake.take().ok().flatten()
    }

    /// Looks for a while whether one comes.
    #[cfg(feature = "std")]
    fn watch(&mut self) -> Option<Job> {
        if !looking_pays() {
            return None;
        }
        let found = self.shared.intake.watch(self.spin.polls().div_ceil(8));
        self.spin = self.spin.after(found.is_some());
        found
    }

    /// Waits for one, or until `leaves` returns true.
    fn wait<'a>(
        &'a mut self,
        mut leaves: impl FnMut() -> bool + 'a,
    ) -> impl Future<Output = Result<Job, Closed>> + 'a {
        let mut waiter = Waiter::new();
        poll_fn(move |cx| {
            self.record.rise(&mut self.turns);
            let polled = self.shared.intake.poll_take(&mut waiter, cx, &mut leaves);
            if polled.is_pending() {
                self.record.rest(&mut self.turns);
                // Somebody may wait until all of them rest.
                contain(|| self.shared.crew.changed.notify_all());
            }
            polled
        })
    }

    /// Waits for one on a thread; `None` if the thread should end.
    #[cfg(feature = "std")]
    fn sleep(&mut self, post: Option<&mut Post<'_>>) -> Option<Job> {
        let Some(post) = post else { return self.wait(|| false).wait().ok() };
        if let Some(keep_alive) = post.rest() {
            match self.wait(|| post.yields()).wait_timeout(keep_alive) {
                Ok(woken) => return woken.ok(),
                Err(TimedOut) if post.retires() => return None,
                // The only spare one. If another comes to be spare, that one may go, and asks when its own time is up.
                Err(TimedOut) => {}
            }
        }
        self.wait(|| post.yields()).wait().ok()
    }

    #[inline]
    fn run(&mut self, job: Job) {
        self.asked = false;
        self.next = self.shared.run(job, &self.record);
    }

    async fn run_driven(&mut self, driven: Driven) {
        self.asked = false;
        self.shared.run_driven(driven, &self.record).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.asked {
            self.shared.intake.withdraw();
        }
        if let Some(next) = self.next.take() {
            self.shared.intake.put_back(next);
        }
        self.shared.counters.close(&self.record);
        if self.shared.crew.leave(self.started) {
            self.shared.abandon();
        }
    }
}
