//! Efforts against a reference: each item's progress is its own, whatever else is in the batch.

use alloc::{collections::BTreeSet, vec::Vec};
use core::time::Duration;

use proptest::prelude::*;

use super::{Effort, Next, OnError, Recovery};
use tidegate_core::{Backoff, backoff::Retries};

use crate::error::BatchError;

fn recovery(retries: Option<u32>, on_error: OnError) -> Recovery<usize> {
    let backoff = retries.map(|retries| {
        Backoff::exponential(Duration::from_secs(1), Duration::MAX)
            .jitter(0.0)
            .max_attempts(retries + 1)
    });
    Recovery { copy: <[usize]>::to_vec, retries: backoff.map(Retries::new), on_error }
}

/// What a call was for.
type Call = Vec<usize>;

/// Calls until it is over; returns what each call was for, and each item's result.
fn run(
    len: usize,
    recovery: &mut Recovery<usize>,
    mut handler: impl FnMut(&[usize]) -> Result<Vec<usize>, BatchError<()>>,
) -> (Vec<Call>, Vec<Result<usize, BatchError<()>>>) {
    let mut effort = Effort::new((0..len).collect());
    let mut calls = Vec::new();
    loop {
        let items = effort.items(recovery);
        assert_eq!(items.len(), effort.sent());
        let result = handler(&items);
        calls.push(items);
        if effort.on_result(result, true, recovery) == Next::Over {
            break;
        }
    }
    let mut outcome = effort.into_outcome();
    (calls, (0..len).map(|item| outcome.take(item).unwrap()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn bisecting_isolates_the_poison_in_a_bounded_number_of_calls(
        len in 1_usize..70,
        poison in prop::collection::btree_set(0_usize..70, 0..8),
        retries in prop::option::of(0_u32..3),
    ) {
        let poison: BTreeSet<_> = poison.into_iter().filter(|item| *item < len).collect();
        let (calls, results) = run(len, &mut recovery(retries, OnError::Bisect), |items| {
            match items.iter().any(|item| poison.contains(item)) {
                true => Err(BatchError::Panicked("poison".into())),
                false => Ok(items.iter().map(|item| item * 2).collect()),
            }
        });
        for (item, result) in results.iter().enumerate() {
            prop_assert_eq!(result.as_ref().ok().copied(), (!poison.contains(&item)).then_some(item * 2));
        }
        // Nothing that has a result was called for again, and what has none was called for alone.
        let made_it = calls.iter().filter(|call| !call.iter().any(|item| poison.contains(item)));
        prop_assert_eq!(made_it.flatten().count(), len - poison.len());
        let alone = calls.iter().filter(|call| call.len() == 1 && poison.contains(&call[0])).count();
        prop_assert!(alone >= poison.len());
        let first = if poison.is_empty() { 1 } else { 1 + retries.unwrap_or(0) as usize };
        let depth = len.next_power_of_two().ilog2() as usize;
        prop_assert!(calls.len() <= first + (2 * poison.len() * depth).min(2 * len - 2));
    }

    #[test]
    fn a_whole_batch_is_tried_again_until_it_succeeds_or_no_retry_is_left(
        len in 1_usize..5,
        retries in 0_u32..5,
        broken in 0_u32..8,
    ) {
        let mut failures = 0;
        let (calls, results) = run(len, &mut recovery(Some(retries), OnError::Fail), |items| {
            failures += 1;
            if failures <= broken { Err(BatchError::Panicked("broken".into())) } else { Ok(items.to_vec()) }
        });
        prop_assert_eq!(calls.len(), 1 + retries.min(broken) as usize);
        prop_assert!(calls.iter().all(|call| call.iter().copied().eq(0..len)));
        prop_assert!(results.iter().all(|result| result.is_ok() == (broken <= retries)));
    }
}

#[test]
fn the_last_call_gets_the_items_themselves() {
    use alloc::rc::Rc;

    let item = Rc::new(());
    let plan = Backoff::fixed(Duration::ZERO).jitter(0.0).max_attempts(2);
    let mut recovery = Recovery {
        copy: <[Rc<()>]>::to_vec,
        retries: Some(Retries::new(plan)),
        on_error: OnError::Bisect,
    };
    let mut effort = Effort::<_, (), ()>::new([item.clone()].into());
    let first = effort.items(&recovery);
    assert_eq!(Rc::strong_count(&item), 3, "a clone, as it may fail");
    drop(first);
    let failed = Err(BatchError::Dropped);
    assert_eq!(effort.on_result(failed, true, &mut recovery), Next::Retry(Duration::ZERO));
    let last = effort.items(&recovery);
    assert_eq!(Rc::strong_count(&item), 2);
    drop(last);
}
