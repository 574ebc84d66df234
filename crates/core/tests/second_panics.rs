//! Foreign code that panics while another panic unwinds: the first one goes on, and the process lives.

use std::{
    future::{Future, Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use tidegate_core::{Closed, Gate, Outcome, Pass, Turnstile};

fn panic_with(words: &'static str) -> ! {
    resume_unwind(Box::new(words))
}

fn first_panic(run: impl FnOnce()) -> &'static str {
    let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    payload.downcast_ref::<&str>().copied().unwrap_or("another payload")
}

/// Its pass panics however it ends, as one with a clock or with waiters of its own may.
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
    // Without it theirs goes on, and of several the first one.
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
