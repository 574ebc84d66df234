//! How many items one poll of the flow moves before the executor's other tasks run.

use core::{ops::RangeInclusive, task::Context, time::Duration};

/// The budget of the first poll, and the range of the budgets of later ones.
const FIRST: usize = 256;
const RANGE: RangeInclusive<usize> = 32..=4096;

/// How long a poll that spends its budget should take: the budget is adapted to that.
const TARGET: Duration = Duration::from_micros(100);

/// The budget of a poll, in items.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    /// Whether an item was refused in this poll; if so, the flow is polled again soon.
    is_spent: bool,
    /// The budget of a whole poll.
    full: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { left: 0, is_spent: false, full: FIRST }
    }

    pub(crate) fn refill(&mut self) {
        (self.left, self.is_spent) = (self.full, false);
    }

    /// Takes one item from the budget. If none is left, wakes the flow, so that it is polled again
    /// soon, and returns false.
    #[inline]
    pub(crate) fn spend(&mut self, cx: &mut Context<'_>) -> bool {
        if self.left == 0 {
            self.is_spent = true;
            cx.waker().wake_by_ref();
            return false;
        }
        self.left -= 1;
        true
    }

    /// Returns whether an item was refused as the budget was spent: then the flow is polled again
    /// soon. It is still false when the last item of the budget was taken: there may be no further
    /// item.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Adapts the budget after a poll that has spent it and has taken `time`.
    pub(crate) fn adapt(&mut self, time: Duration) {
        let full = if time < TARGET { self.full * 2 } else { self.full / 2 };
        self.full = full.clamp(*RANGE.start(), *RANGE.end());
    }
}

#[cfg(test)]
mod tests {
    use core::task::{Context, Waker};

    use super::*;

    const MUCH: Duration = Duration::from_millis(1);
    const LITTLE: Duration = Duration::from_nanos(99_999);

    /// Returns how many items a whole poll moves.
    fn items_of_a_poll(budget: &mut Budget) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        budget.refill();
        assert!(!budget.is_spent());
        let items = (0..10_000).take_while(|_| budget.spend(&mut cx)).count();
        assert!(budget.is_spent());
        items
    }

    #[test]
    fn a_budget_doubles_after_a_short_poll_and_halves_after_a_long_one() {
        let mut budget = Budget::new();
        assert_eq!(items_of_a_poll(&mut budget), 256);
        budget.adapt(LITTLE);
        assert_eq!(items_of_a_poll(&mut budget), 512);
        budget.adapt(TARGET);
        assert_eq!(items_of_a_poll(&mut budget), 256);
        budget.adapt(MUCH);
        assert_eq!(items_of_a_poll(&mut budget), 128);
        (0..9).for_each(|_| budget.adapt(MUCH));
        assert_eq!(items_of_a_poll(&mut budget), 32);
        (0..9).for_each(|_| budget.adapt(LITTLE));
        assert_eq!(items_of_a_poll(&mut budget), 4096);
    }
}
