//! Which of many futures in one task are polled.

use std::{
    cell::RefCell,
    future::poll_fn,
    task::{Context, Poll},
};

use tidegate_core::{future_slots::FutureSlots, primitive::Arc};

fn woken<N, F>(slots: &mut FutureSlots<N, F>) -> Vec<usize> {
    slots.look();
    std::iter::from_fn(|| slots.next_woken()).collect()
}

#[test]
fn only_the_woken_slots_are_found_in_order() {
    let wakers = RefCell::new(Vec::new());
    let mut slots = FutureSlots::new(Arc::default());
    for n in 0..200 {
        let wakers = &wakers;
        let slot = slots.start(
            n,
            poll_fn(move |cx: &mut Context<'_>| {
                wakers.borrow_mut().push(cx.waker().clone());
                Poll::<()>::Pending
            }),
        );
        assert_eq!(slots.poll(slot), Some(Poll::Pending));
    }
    assert!(woken(&mut slots).is_empty());
    let wakers = wakers.borrow();
    wakers[150].wake_by_ref();
    wakers[5].wake_by_ref();
    wakers[150].wake_by_ref();
    assert_eq!(woken(&mut slots), [5, 150]);
    assert!(woken(&mut slots).is_empty());
}

#[test]
fn each_in_flight_has_its_turn() {
    let mut slots = FutureSlots::new(Arc::default());
    assert_eq!(slots.next_in_turn(), None);
    for n in 0..4 {
        assert_eq!(slots.start(n, std::future::pending::<()>()), n);
    }
    assert_eq!((slots.free(1), slots.free(3)), (Some(1), Some(3)));
    let mut turns: Vec<_> = (0..4).filter_map(|_| slots.next_in_turn()).collect();
    turns.sort_unstable();
    assert_eq!(turns, [0, 0, 2, 2]);
}

#[test]
fn a_late_waker_finds_an_empty_slot() {
    let mut slots = FutureSlots::new(Arc::default());
    let slot = slots.start("job", std::future::ready(7));
    assert_eq!(slots.poll(slot), Some(Poll::Ready(7)));
    slots.drop_future(slot);
    assert_eq!((slots.free(slot), slots.free(slot), slots.in_flight()), (Some("job"), None, 0));
    slots.put_off(slot);
    assert_eq!(woken(&mut slots), [slot]);
    assert_eq!(slots.poll(slot), None);
}
