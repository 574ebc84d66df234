//! What the items are, what is done with each, and whether all of them came out.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{LazyLock, Mutex},
};

/// Steps that take a few nanoseconds.
pub(super) const CHEAP: u32 = 8;

/// Steps that take about 190 ns an item, done one item after the other.
pub(super) const MEDIUM: u32 = 280;

/// Does so many steps with an item. The result's low half is the item's number, its place.
#[inline]
pub(super) fn stage<const STEPS: u32>(number: u64) -> u64 {
    let mut state = black_box(number) | 1;
    for _ in 0..STEPS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).rotate_left(23);
    }
    (state << 32) | (number & u64::from(u32::MAX))
}

/// Where the results go.
#[derive(Debug, Default)]
pub(super) struct Sink {
    taken: u64,
    sum: u64,
    strays: u64,
}

impl Sink {
    /// Takes the next result.
    #[inline]
    pub(super) fn take(&mut self, result: u64) {
        self.strays |= (result ^ self.taken) & u64::from(u32::MAX);
        self.taken += 1;
        self.sum = self.sum.wrapping_add(result);
    }

    /// Checks that the results of items 0 to `n` were taken, once each, and in order if
    /// `is_ordered`.
    pub(super) fn check<const STEPS: u32>(&self, n: u64, is_ordered: bool) {
        assert_eq!(self.taken, n, "an item was lost, or came twice");
        assert_eq!(self.sum, sum_of::<STEPS>(n), "a result is not that of an item");
        assert!(self.strays == 0 || !is_ordered, "the order was not kept");
    }
}

/// The sum of the results, which is computed once for each `n`.
fn sum_of<const STEPS: u32>(n: u64) -> u64 {
    static SUMS: LazyLock<Mutex<HashMap<(u32, u64), u64>>> = LazyLock::new(Mutex::default);
    *SUMS.lock().unwrap().entry((STEPS, n)).or_insert_with(|| {
        (0..n).fold(0, |sum: u64, number| sum.wrapping_add(stage::<STEPS>(number)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(numbers: [u64; 3]) -> Sink {
        let mut sink = Sink::default();
        numbers.iter().for_each(|&number| sink.take(stage::<CHEAP>(number)));
        sink
    }

    #[test]
    fn all_in_order_is_right() {
        taken([0, 1, 2]).check::<CHEAP>(3, true);
    }

    #[test]
    fn all_in_any_order_is_right_where_none_is_promised() {
        taken([2, 0, 1]).check::<CHEAP>(3, false);
    }

    #[test]
    #[should_panic = "the order"]
    fn another_order_is_found() {
        taken([0, 2, 1]).check::<CHEAP>(3, true);
    }

    #[test]
    #[should_panic = "not that of an item"]
    fn one_for_another_is_found() {
        taken([0, 1, 1]).check::<CHEAP>(3, false);
    }
}
