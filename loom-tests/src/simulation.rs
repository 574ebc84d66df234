//! A deterministic executor that behaves badly: one thread, a manual clock, seeded choices.
//!
//! At random it polls any future that is woken, or one that is not; drops one at an await; hands
//! each poll a new waker and ignores the old ones; lets a wake-up come late, or lets its waker
//! panic; turns the clock from another thread; and lets the clock jump. It never forgets a wake-up.
//! So a task that still sleeps when nothing is left to happen sleeps for ever, and that is a
//! finding.
//!
//! A seed replays its run; an equal [`trace`](Report::trace) proves that the run was the same.

use std::{
    collections::BTreeSet,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use tidegate_core::{Clock, ManualClock, Timestamp};

/// Steele, Lea and Flood's SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts a sequence.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound as u64).expect("below a usize")
    }

    /// Returns true with a probability of `percent` in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What the executor does besides its duty, each in percent of its steps.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// A task that is not woken is polled.
    pub spurious: usize,
    /// A wake-up comes some steps later.
    pub late: usize,
    /// A task that may be dropped is dropped.
    pub dropped: usize,
    /// The clock jumps, up to ten seconds.
    pub jumps: usize,
    /// A poll's waker panics after it has woken a task that may be dropped, except during a panic.
    pub panicking: usize,
    /// The clock is turned by another thread.
    pub elsewhere: usize,
}

/// How a simulation ended.
#[derive(Debug)]
pub struct Report {
    /// Tasks that ended by themselves.
    pub ended: usize,
    /// Tasks that were dropped at an await.
    pub dropped: usize,
    /// Tasks that a [`whim`] ended, their own or that of a waker that they called.
    pub hit: usize,
    /// The names of tasks that panicked.
    pub panicked: Vec<String>,
    /// A hash of all decisions: the same for the same seed.
    pub trace: u64,
}

/// The executor.
pub struct Simulation {
    random: Random,
    faults: Faults,
    clock: ManualClock,
    tasks: Vec<Task>,
    board: Arc<Mutex<Board>>,
    trace: u64,
}

struct Task {
    name: String,
    // `None` once it is over.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Whether it may be dropped.
    mortal: bool,
    /// The number of its latest poll, and of that poll's waker.
    generation: usize,
}

/// Wake-ups on their way.
#[derive(Default)]
struct Board {
    /// The task, and the generation of the waker that was called.
    calls: Vec<(usize, usize)>,
    woken: BTreeSet<usize>,
    /// The task, and after how many steps it is woken.
    late: Vec<(usize, usize)>,
}

struct Call {
    board: Arc<Mutex<Board>>,
    task: usize,
    generation: usize,
    panics: bool,
}

struct Whim;

/// Panics in the way that a simulation allows to wakers and to tasks that may be dropped.
pub fn whim() -> ! {
    resume_unwind(Box::new(Whim))
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.board.lock().unwrap().calls.push((self.task, self.generation));
        if self.panics && !thread::panicking() {
            whim();
        }
    }
}

/// After so many steps in which only time passed, the tasks count as asleep for ever.
const PATIENCE: usize = 10_000;

impl Simulation {
    /// Creates a simulation without tasks.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            random: Random::new(seed),
            faults,
            clock: ManualClock::new(),
            tasks: Vec::new(),
            board: Arc::default(),
            trace: 0,
        }
    }

    /// Returns the clock of the simulation.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Returns the source of everything random.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Adds a task that may be dropped at any await.
    pub fn spawn(&mut self, name: String, future: impl Future<Output = ()> + 'static) {
        self.add(name, true, future);
    }

    /// Adds a task that is never dropped, because others rely on it.
    pub fn spawn_immortal(&mut self, name: String, future: impl Future<Output = ()> + 'static) {
        self.add(name, false, future);
    }

    fn add(&mut self, name: String, mortal: bool, future: impl Future<Output = ()> + 'static) {
        self.board.lock().unwrap().woken.insert(self.tasks.len());
        self.tasks.push(Task { name, future: Some(Box::pin(future)), mortal, generation: 0 });
    }

    /// Runs until every task is over.
    ///
    /// # Errors
    ///
    /// The names of the tasks that sleep, when nothing is left that could wake them.
    pub fn run(mut self) -> Result<Report, Vec<String>> {
        let mut idle = 0;
        let mut report = Report { ended: 0, dropped: 0, hit: 0, panicked: Vec::new(), trace: 0 };
        loop {
            self.deliver();
            let alive: Vec<_> =
                (0..self.tasks.len()).filter(|&task| self.tasks[task].future.is_some()).collect();
            if alive.is_empty() {
                report.trace = self.trace;
                return Ok(report);
            }
            let woken: Vec<_> = self.board.lock().unwrap().woken.iter().copied().collect();
            idle = if woken.is_empty() { idle + 1 } else { 0 };
            if idle > PATIENCE {
                return Err(alive.into_iter().map(|task| self.tasks[task].name.clone()).collect());
            }
            // While no task is woken only time passes: a fault there would hide a lost wake-up.
            if woken.is_empty() {
                self.pass_time();
                continue;
            }
            let victim = alive[self.random.below(alive.len())];
            if self.random.chance(self.faults.dropped) && self.tasks[victim].mortal {
                self.note(1, victim);
                let future = self.tasks[victim].future.take();
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
                report.dropped += 1;
                self.blame(victim, dropped, &mut report);
            } else if self.random.chance(self.faults.jumps) {
                let jump = self.random.below(10_000);
                self.note(2, jump);
                self.turn(self.clock.now() + Duration::from_millis(jump as u64));
            } else if self.random.chance(self.faults.spurious) {
                self.poll(victim, &mut report);
            } else {
                let task = woken[self.random.below(woken.len())];
                self.poll(task, &mut report);
            }
        }
    }

    /// Delivers the wake-ups that have come, some of them only steps later.
    fn deliver(&mut self) {
        let mut board = self.board.lock().unwrap();
        let Board { calls, woken, late } = &mut *board;
        for (task, generation) in calls.drain(..) {
            if self.tasks[task].generation != generation {
                continue;
            }
            if self.random.chance(self.faults.late) {
                late.push((task, 1 + self.random.below(50)));
            } else {
                woken.insert(task);
            }
        }
        late.retain_mut(|(task, steps)| {
            *steps -= 1;
            if *steps == 0 {
                woken.insert(*task);
            }
            *steps > 0
        });
        woken.retain(|&task| self.tasks[task].future.is_some());
    }

    /// Turns the clock to the next sleeper's time, or by a millisecond if there is none.
    fn pass_time(&mut self) {
        let due = self.clock.next_due().filter(|due| *due > self.clock.now());
        self.turn(due.unwrap_or_else(|| self.clock.now() + Duration::from_millis(1)));
    }

    /// Turns the clock. The tasks whose wakers it calls are woken even if a waker panics.
    fn turn(&mut self, to: Timestamp) {
        let clock = self.clock.clone();
        let turned = if self.random.chance(self.faults.elsewhere) {
            thread::spawn(move || clock.advance_to(to)).join()
        } else {
            catch_unwind(AssertUnwindSafe(|| clock.advance_to(to)))
        };
        if let Err(panic) = turned.map_err(|panic| panic.downcast::<Whim>()) {
            panic.expect("nobody else panics");
        }
    }

    fn poll(&mut self, task: usize, report: &mut Report) {
        self.note(3, task);
        self.board.lock().unwrap().woken.remove(&task);
        let Task { name, future, generation, mortal } = &mut self.tasks[task];
        *generation += 1;
        let panics = *mortal && self.random.chance(self.faults.panicking);
        let call = Call { board: self.board.clone(), task, generation: *generation, panics };
        let waker = Waker::from(Arc::new(call));
        let Some(polled) = future else { return };
        let mut cx = Context::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| polled.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(())) => report.ended += 1,
            Err(panic) if panic.is::<Whim>() && *mortal => report.hit += 1,
            Err(_) => report.panicked.push(name.clone()),
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| *future = None));
        self.blame(task, dropped, report);
    }

    /// Notes a task whose drop has panicked, unless by a waker's whim.
    fn blame(&self, task: usize, dropped: thread::Result<()>, report: &mut Report) {
        if dropped.is_err_and(|panic| !panic.is::<Whim>()) {
            report.panicked.push(self.tasks[task].name.clone());
        }
    }

    /// Adds a decision to the trace.
    fn note(&mut self, what: u64, which: usize) {
        let mixed = self.trace.rotate_left(7) ^ (which as u64) << 3 ^ what;
        self.trace = Random::new(mixed).draw();
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
