//! Foreign code that panics while another panic unwinds: only the first panic goes on.

use std::{
    cell::Cell,
    future::{Future, Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use tidegate_core::{
    Closed, Gate, Outcome, Pass, Turnstile,
    gate::{Classify, SettleBy},
    unwind::{DropEach, Foreign},
};

fn panic_with(words: &'static str) -> ! {
    resume_unwind(Box::new(words))
}

fn first_panic(run: impl FnOnce()) -> &'static str {
    let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    payload.downcast_ref::<&str>().copied().unwrap_or("another payload")
}

/// A gate whose pass panics however it ends, as may the pass of a gate with a clock or with
/// waiters.
struct Fragile;
struct FragilePass;

impl Gate for &Fragile {
    type Pass = FragilePass;
    type Refused = Closed;
    type Enter = Ready<Result<FragilePass, Closed>>;

    fn try_enter(self) -> Result<FragilePass, Closed> {
        Ok(FragilePass)
    }

    fn enter(self) -> Self::Enter {
        ready(Ok(FragilePass))
    }
}

impl Pass for FragilePass {
    type Refused = Closed;

    fn settle(self, _outcome: Outcome) {
        panic_with("settle")
    }
}

impl<R: Classify> SettleBy<R> for FragilePass {
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

#[test]
fn a_gate_that_panics_after_the_act_has_leaves_the_acts_panic() {
    let act = || -> Result<(), ()> { panic_with("act") };
    assert_eq!(first_panic(|| _ = (&Fragile).run(act)), "act");
    assert_eq!(first_panic(|| _ = (&Fragile, (&Fragile, &Fragile)).run(act)), "act");
    assert_eq!(
        first_panic(|| {
            let mut run = pin!((&Fragile).run_async(async move { act() }));
            let _ = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }),
        "act"
    );
    // If the act does not panic, the first panic of a gate goes on.
    assert_eq!(first_panic(|| _ = (&Fragile, &Fragile).run(|| ())), "settle");
}

#[test]
fn a_waker_that_panics_while_a_holder_is_unwound_leaves_its_panic() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic_with("waker")
        }
    }
    let turnstile = Turnstile::new();
    let waker = Waker::from(Arc::new(Bad));
    let mut cx = Context::from_waker(&waker);
    let mut wait = pin!(turnstile.enter());
    let panicked = first_panic(|| {
        let _inside = turnstile.try_enter().unwrap();
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        panic_with("holder")
    });
    assert_eq!(panicked, "holder");
    assert!(wait.as_mut().poll(&mut cx).is_ready());
}

/// Counts its drop, and panics.
struct Bad<'a>(&'a Cell<u32>);

impl Drop for Bad<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
        panic_with("destructor");
    }
}

#[test]
fn what_is_held_while_a_panic_unwinds_is_dropped_each_and_leaves_that_panic() {
    let dropped = Cell::new(0);
    let bad = || Bad(&dropped);
    let panicked = first_panic(|| {
        let _one = Foreign::new(bad());
        let _list = [Foreign::new(bad()), Foreign::new(bad())];
        let _each = DropEach::new(vec![bad(), bad()]);
        let _rest = DropEach::new(vec![bad(), bad()].into_iter());
        panic_with("act")
    });
    assert_eq!((panicked, dropped.take()), ("act", 7));
    // Without another panic, the first panic of `Foreign` values goes on, and those of a `DropEach`
    // end there.
    let list = vec![Foreign::new(bad()), Foreign::new(bad())];
    assert_eq!((first_panic(|| drop(list)), dropped.take()), ("destructor", 2));
    drop(DropEach::new(vec![bad(), bad()]));
    assert_eq!(dropped.take(), 2);
    // A value that `into_inner` returns is dropped as any other value.
    let (one, two) = (Foreign::new(bad()).into_inner(), DropEach::new(vec![bad()]).into_inner());
    assert_eq!((dropped.get(), first_panic(|| drop(one))), (0, "destructor"));
    assert_eq!(first_panic(|| drop(two)), "destructor");
}
