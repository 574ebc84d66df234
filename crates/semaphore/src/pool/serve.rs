//! Which waiter gets free permits: the pool as the supply of its wait queue.

use core::task::Poll;

use tidegate_core::{
    WaitList,
    primitive::{atomic::Ordering, tuned},
    wait_list::{Line, Supply},
};

use super::PermitPool;
use crate::{
    error::AcquireError,
    fairness::{FOR_EVER, Fairness},
    word::{ACQUISITION, ACQUISITIONS_MODULUS, ATTENDED, BARRED, Need, acquisitions, permits},
};

/// Free permits are promised to the waiters that were nudged for them. A waiter that is not polled
/// loses the promise after this many acquisitions, and one more for each waiter that was nudged
/// before it and not polled since.
const PATIENCE: u64 = tuned(128, 2) as u64;

impl PermitPool {
    /// Returns whether the head is to be granted what is free, instead of being nudged. Under the
    /// queue's lock.
    #[inline]
    pub(super) fn grants_head(&self, word: u64, line: &mut Line<'_, Need>) -> bool {
        match self.settings.bound {
            0 => true,
            FOR_EVER => false,
            bound => Self::is_overtaken(u64::from(bound), word, line),
        }
    }

    fn is_overtaken(bound: u64, word: u64, line: &mut Line<'_, Need>) -> bool {
        // While a nudged waiter holds a promise, newcomers are not barred for the head: permits
        // would only stay unused until that waiter runs.
        let (0, Some(note)) = (line.promised().0, line.head_note()) else { return false };
        let now = acquisitions(word);
        let since = *note.get_or_insert(now);
        now.wrapping_sub(since) % ACQUISITIONS_MODULUS >= bound
    }

    /// Withdraws the promises to waiters that were nudged long ago. Under the queue's lock.
    fn lose_patience(&self, word: u64, line: &mut Line<'_, Need>) {
        while let Some(deadline) = line.first_deadline() {
            if acquisitions(word).wrapping_sub(deadline) % ACQUISITIONS_MODULUS
                > ACQUISITIONS_MODULUS / 2
            {
                break;
            }
            line.forget_promise();
        }
    }

    /// Nudges the head if the permits that are free and not promised suffice for it. Returns how
    /// many of them are left then, or `None` if they do not suffice. Under the queue's lock.
    fn nudge(&self, word: u64, head: Need, line: &mut Line<'_, Need>) -> Option<usize> {
        let (promised, nudged) = line.promised();
        let promised = usize::try_from(promised).unwrap_or(usize::MAX);
        let left = self.spare(word).saturating_sub(promised);
        let n = head.of(left)?;
        // The waiters that were nudged before the head may acquire first, once each.
        let patience = PATIENCE + (nudged as u64).min(ACQUISITIONS_MODULUS / 4);
        line.nudge_head(n as u64, acquisitions(word) + patience);
        Some(left - n)
    }
}

impl Supply for PermitPool {
    type Need = Need;
    type Refusal = AcquireError;

    fn wait_list(&self) -> &WaitList<Need> {
        &self.line
    }

    fn newest_first(&self) -> bool {
        matches!(self.settings.fairness, Fairness::Lifo)
    }

    fn ask(&self, need: Need, line: &mut Line<'_, Need>) -> Poll<Result<Need, AcquireError>> {
        // ORDERING: Relaxed: a guess, which the exchange confirms.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if let Some(objection) = self.objection(word, need) {
                return Poll::Ready(Err(objection));
            }
            let may_take = line.is_empty() || !self.grants_head(word, line);
            let taken = match need.of(self.spare(word)) {
                taken if may_take => taken,
                // A request for 0 permits takes nothing away from waiters that come first.
                _ => need.of(0),
            };
            if let Some(n) = taken {
                match self.charge(word, n) {
                    Ok(()) => return Poll::Ready(Ok(Need::exactly(n))),
                    Err(found) => word = found,
                }
                continue;
            }
            if line.len() >= self.settings.max_waiters {
                return Poll::Ready(Err(AcquireError::QueueFull));
            }
            let bars = !may_take || !self.lets_overtake();
            let flags = if bars { ATTENDED | BARRED } else { ATTENDED };
            match self.note(word, flags) {
                Ok(()) => break,
                Err(found) => word = found,
            }
        }
        self.counts.waited.add_one_under_lock();
        Poll::Pending
    }

    fn nudges(&self) -> bool {
        self.lets_overtake()
    }

    fn ask_again(
        &self,
        need: Need,
        is_first: bool,
        _line: &mut Line<'_, Need>,
    ) -> Poll<Result<Need, AcquireError>> {
        // ORDERING: Relaxed: a guess, which the exchange confirms.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if let Some(objection) = self.objection(word, need) {
                return Poll::Ready(Err(objection));
            }
            // Once newcomers are barred, what is free belongs to the first waiter.
            let may_take = is_first || word & BARRED == 0;
            if let Some(n) = need.of(self.spare(word)).filter(|_| may_take) {
                match self.charge(word, n) {
                    Ok(()) => return Poll::Ready(Ok(Need::exactly(n))),
                    Err(found) => word = found,
                }
                continue;
            }
            // `serve_after_miss` decides whether newcomers are barred, once the waiter sleeps
            // again.
            match self.note(word, ATTENDED) {
                Ok(()) => return Poll::Pending,
                Err(found) => word = found,
            }
        }
    }

    fn serve(&self, line: &mut Line<'_, Need>) {
        self.pay();
        while let Some(&need) = line.head() {
            // ORDERING: Acquire: pairs with the Release of every releaser. The queue's lock then
            // passes on to the head what the releasers did.
            let mut word = self.word.load(Ordering::Acquire);
            if self.is_out_of_reach(need) {
                line.dismiss_head();
                continue;
            }
            self.lose_patience(word, line);
            if !self.grants_head(word, line) {
                match self.nudge(word, need, line) {
                    Some(1..) => continue,
                    _ => break,
                }
            }
            if word & BARRED == 0 {
                word = self.word.fetch_or(BARRED, Ordering::Acquire);
            }
            // Newcomers are barred, so permits are taken only under the queue's lock: what is free
            // now stays free.
            let Some(n) = need.of(self.spare(word)) else { break };
            // ORDERING: Relaxed: the load above has acquired, and a read-modify-write passes the
            // Releases on.
            let charge = ACQUISITION.wrapping_sub(permits(n));
            let before = self.word.fetch_add(charge, Ordering::Relaxed);
            self.counts.note_lap(before, before.wrapping_add(charge));
            line.grant_head(Need::exactly(n));
        }
        self.note_line(line);
    }

    fn serve_after_miss(&self, line: &mut Line<'_, Need>) {
        // ORDERING: Relaxed: a guess. A later release finds ATTENDED, which was noted in
        // `ask_again`.
        let word = self.word.load(Ordering::Relaxed);
        // Serve if something is free for another waiter, or if it is time to bar newcomers.
        if self.spare(word) > 0 || self.grants_head(word, line) {
            self.serve(line);
        }
    }

    fn give_back(&self, granted: Need) {
        self.counts.unclaimed.add_one();
        self.release(granted.granted());
    }

    fn dismissal(&self) -> AcquireError {
        if self.is_closed() { AcquireError::Closed } else { AcquireError::TooMany }
    }
}
