//! How workers wait for jobs, and submitters for room: on a thread, both spin for a bounded time,
//! then sleep. `job_queue.rs` wakes them: workers by `wake_worker` and `push_front`; submitters by
//! `wake_submitter` (a job was taken), `release_slot` (one was cancelled) and `add_waiting_worker`
//! (of a rendezvous); both by `close`. `notify_workers` and `resume`, below, wake workers, too.

use core::task::{Context, Poll};

#[cfg(feature = "std")]
use tidegate_core::primitive::{atomic::fence, relax};
use tidegate_core::{
    Closed,
    event::{Condition, Waiter},
    primitive::atomic::Ordering,
};

use super::JobQueue;
use crate::job::Job;

/// How often a submitter polls for room before it sleeps. Before most of these polls it lets other
/// threads run.
#[cfg(feature = "std")]
const ROOM_POLLS: u32 = 20;

impl JobQueue {
    /// Polls for a job up to `polls` times. While a worker spins, no sleeping worker is woken for a
    /// job that is added.
    #[cfg(feature = "std")]
    pub(crate) fn spin_for_job(&self, polls: u32) -> Option<Job> {
        if polls == 0 {
            return None;
        }
        // ORDERING: Relaxed: it only says that a worker spins.
        self.spinning.fetch_add(1, Ordering::Relaxed);
        let (mut found, mut polled) = (None, 0);
        while polled < polls && !self.is_closed() {
            relax(&mut polled);
            found = self.take().ok().flatten();
            if found.is_some() {
                break;
            }
        }
        self.spinning.fetch_sub(1, Ordering::Relaxed);
        // ORDERING: pairs with the fence in `wake_worker`, as said there. A worker that has found
        // nothing polls once more before it sleeps, in `poll_take`.
        fence(Ordering::SeqCst);
        // Submitters that pushed meanwhile have relied on this worker, which can run one job only.
        if found.is_some() {
            self.wake_next_worker();
        }
        found
    }

    /// Returns whether a worker polls the queue in a loop.
    #[cfg(feature = "std")]
    pub(crate) fn has_spinning_worker(&self) -> bool {
        // ORDERING: Relaxed: the caller's fence pairs with the one in `spin_for_job`.
        self.spinning.load(Ordering::Relaxed) > 0
    }

    /// Lets the workers make room for a bounded time. Without this, a submitter that is faster than
    /// the workers would be woken for each single slot; after it, the submitter finds many.
    #[cfg(feature = "std")]
    pub(crate) fn spin_for_room(&self) {
        let mut polled = 0;
        while polled < ROOM_POLLS && !self.has_much_room() && !self.is_closed() {
            relax(&mut polled);
        }
    }

    /// Returns whether at least a quarter of the capacity is free. A snapshot; false for a
    /// rendezvous.
    #[cfg(feature = "std")]
    fn has_much_room(&self) -> bool {
        self.rendezvous.is_none() && self.len() <= self.capacity - self.capacity.div_ceil(4)
    }

    /// Waits for a job. Whenever it finds none, asks `leaves`: if that returns true, resolves to
    /// `Closed`, as if the queue were closed and empty.
    pub(crate) fn poll_take(
        &self,
        waiter: &mut Waiter,
        cx: &mut Context<'_>,
        leaves: &mut impl FnMut() -> bool,
    ) -> Poll<Result<Job, Closed>> {
        let check = || self.take().transpose().or_else(|| leaves().then_some(Err(Closed)));
        let begin_to_wait = || self.ring.set_consumer_waiting();
        waiter.poll_until(&self.job_arrived, cx, &mut CheckAndFlag { check, begin_to_wait })
    }

    /// Waits until `push`, which tries to push, returns a value.
    pub(crate) fn poll_room<R>(
        &self,
        waiter: &mut Waiter,
        cx: &mut Context<'_>,
        push: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        let begin_to_wait = || {
            // The room of a rendezvous is a worker that waits, which notifies submitters itself.
            if self.rendezvous.is_none() {
                self.ring.set_producer_waiting();
            }
        };
        waiter.poll_until(&self.room_freed, cx, &mut CheckAndFlag { check: push, begin_to_wait })
    }

    /// Waits until the queue is closed.
    pub(crate) fn poll_closed(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<()> {
        waiter.poll_until(&self.closing, cx, &mut || self.is_closed().then_some(()))
    }

    /// Wakes every worker that waits for a job, to check whether it should leave.
    #[cfg(feature = "std")]
    pub(crate) fn notify_workers(&self) {
        self.job_arrived.notify_all();
    }

    /// Keeps workers from taking jobs until [`resume`](Self::resume) was called as often as this.
    pub(crate) fn pause(&self) {
        // ORDERING: Relaxed: a worker that sees the pause late counts as having begun before it.
        self.pauses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        // ORDERING: Relaxed: the fence in `notify_all`, which follows, pairs with the fence of a
        // worker that registers, and with the one in `wake_worker`.
        if self.pauses.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.job_arrived.notify_all();
        }
    }

    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        // ORDERING: Relaxed: see `pause` and `resume`.
        self.pauses.load(Ordering::Relaxed) > 0
    }

    /// Waits until there is no pause, or the queue is closed.
    pub(crate) fn poll_resumed(&self, waiter: &mut Waiter, cx: &mut Context<'_>) -> Poll<()> {
        let may_begin = || (!self.is_paused() || self.is_closed()).then_some(());
        waiter.poll_until(&self.job_arrived, cx, &mut { may_begin })
    }
}

/// A condition, and the function that tells the ring that a caller begins to wait for it.
struct CheckAndFlag<C, B> {
    check: C,
    begin_to_wait: B,
}

impl<R, C: FnMut() -> Option<R>, B: FnMut()> Condition for CheckAndFlag<C, B> {
    type Output = R;

    fn check(&mut self) -> Option<R> {
        (self.check)()
    }

    fn begin_to_wait(&mut self) {
        (self.begin_to_wait)();
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::{super::tests::filled, *};

    #[test]
    fn a_worker_that_spins_finds_a_job_and_is_seen() {
        let queue = filled(2, 2);
        assert!(queue.spin_for_job(0).is_none());
        assert!(queue.spin_for_job(1).is_some());
        assert!(queue.spin_for_job(8).is_some());
        assert!(queue.spin_for_job(8).is_none(), "there is none");
        assert!(!queue.has_spinning_worker());
        queue.spinning.fetch_add(1, Ordering::Relaxed);
        assert!(queue.has_spinning_worker());
    }

    #[test]
    fn there_is_much_room_while_a_quarter_is_free() {
        assert!(filled(8, 0).has_much_room());
        assert!(filled(8, 6).has_much_room());
        assert!(!filled(8, 7).has_much_room());
        assert!(!filled(0, 0).has_much_room(), "the room of a rendezvous is its workers");
    }

    #[test]
    fn a_notified_worker_checks_whether_it_leaves_and_only_the_close_is_the_end() {
        let (queue, (woken, waker)) = (filled(1, 0), test_kit::CountingWaker::new());
        let mut cx = Context::from_waker(&waker);
        let (mut waiter, mut closing, mut leaves) = (Waiter::new(), Waiter::new(), false);
        assert!(queue.poll_take(&mut waiter, &mut cx, &mut || leaves).is_pending());
        assert!(queue.poll_closed(&mut closing, &mut cx).is_pending());
        queue.notify_workers();
        assert_eq!(woken.count(), 1);
        leaves = true;
        assert!(queue.poll_take(&mut waiter, &mut cx, &mut || leaves).is_ready());
        queue.close();
        assert_eq!(woken.count(), 2);
        assert!(queue.poll_closed(&mut closing, &mut cx).is_ready());
    }
}
