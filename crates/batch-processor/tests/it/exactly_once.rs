//! Random steps through the public interface: items, cancels, flushes, time, and polls of the
//! driver.

use std::{task::Poll, time::Duration};

use crate::echo::{echo, entries};
use proptest::prelude::*;
use test_kit::Task;
use tidegate_batch_processor::{Batcher, ManualClock};

#[derive(Debug, Clone)]
enum Step {
    Submit,
    Push,
    /// Polls a waiting caller.
    Poll(prop::sample::Index),
    /// Drops a waiting caller.
    Cancel(prop::sample::Index),
    Drive,
    Advance(u64),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Submit),
        3 => Just(Step::Push),
        4 => any::<prop::sample::Index>().prop_map(Step::Poll),
        2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        4 => Just(Step::Drive),
        2 => (0_u64..8).prop_map(Step::Advance),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_accepted_item_is_processed_once_and_in_order(steps in prop::collection::vec(step(), 0..80)) {
        let clock = ManualClock::new();
        let (log, handler) = echo();
        let (batcher, driver) = Batcher::builder()
            .max_items(3)
            .capacity(4)
            .max_delay(Duration::from_nanos(10))
            .clock(clock.clone())
            .build(handler)
            .unwrap();
        let mut driver = Task::new(driver);
        let mut callers = Vec::new();
        let mut flushes = Vec::new();
        // In the order of their acceptance: a step that raises `pushed` has let its item in.
        let mut accepted = Vec::new();
        let mut next = 0_u32;
        for step in steps {
            let before = batcher.stats().pushed;
            let mut polled = None;
            match step {
                Step::Submit => {
                    let mut caller = Task::new(batcher.submit(next));
                    prop_assert!(caller.poll().is_pending());
                    polled = Some(next);
                    callers.push((next, caller));
                    next += 1;
                }
                Step::Push => {
                    polled = batcher.try_push(next).is_ok().then_some(next);
                    next += 1;
                }
                Step::Poll(which) if !callers.is_empty() => {
                    let which = which.index(callers.len());
                    let (item, caller) = &mut callers[which];
                    polled = Some(*item);
                    if let Poll::Ready(result) = caller.poll() {
                        prop_assert_eq!(result.unwrap(), *item);
                        callers.swap_remove(which);
                    }
                }
                Step::Cancel(which) if !callers.is_empty() => {
                    callers.swap_remove(which.index(callers.len()));
                }
                Step::Poll(_) | Step::Cancel(_) => {}
                Step::Drive => { prop_assert!(driver.run().is_pending()); }
                Step::Advance(nanos) => clock.advance(Duration::from_nanos(nanos)),
                Step::Flush => {
                    let mut flush = Task::new(batcher.flush());
                    let mark = accepted.len();
                    let ready = flush.poll().is_ready();
                    prop_assert_eq!(ready, batcher.stats().done == mark as u64);
                    flushes.push((mark, flush, ready));
                }
            }
            if batcher.stats().pushed > before {
                accepted.extend(polled);
            }
            prop_assert_eq!(batcher.stats().pushed, accepted.len() as u64);
            for (mark, flush, ready) in &mut flushes {
                if !*ready && batcher.stats().done >= *mark as u64 {
                    prop_assert!(flush.woken() > 0);
                    *ready = flush.poll().is_ready();
                    prop_assert!(*ready);
                }
            }
        }
        batcher.close();
        prop_assert!(driver.run().is_ready());
        prop_assert_eq!(entries(&log).concat(), accepted.clone());
        for (item, mut caller) in callers {
            match caller.poll() {
                Poll::Ready(Ok(result)) => prop_assert!(result == item && accepted.contains(&item)),
                Poll::Ready(Err(refused)) => {
                    prop_assert_eq!(refused.into_inner(), Some(item));
                    prop_assert!(!accepted.contains(&item));
                }
                Poll::Pending => prop_assert!(false, "{} waits for ever", item),
            }
        }
    }
}
