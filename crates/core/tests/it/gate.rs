//! What gates promise: passes settle whatever happens, pairs give back.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, Pending, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll, Waker},
};

use tidegate_core::{
    Closed, Gate, Outcome, Pass, Wait,
    gate::{Classified, Classify, PairRefused, SettleBy},
};

/// Lets every caller in while open, and writes down what it is told.
struct Log {
    open: Cell<bool>,
    told: RefCell<Vec<&'static str>>,
}

struct Entry<'a>(Option<&'a Log>);

impl Log {
    fn open() -> Self {
        Self { open: Cell::new(true), told: RefCell::new(Vec::new()) }
    }

    fn closed() -> Self {
        Self { open: Cell::new(false), told: RefCell::new(Vec::new()) }
    }

    fn told(&self) -> Vec<&'static str> {
        self.told.take()
    }
}

impl<'a> Gate for &'a Log {
    type Pass = Entry<'a>;
    type Refused = Closed;
    type Enter = std::future::Ready<Result<Entry<'a>, Closed>>;

    fn try_enter(self) -> Result<Entry<'a>, Closed> {
        if self.open.get() { Ok(Entry(Some(self))) } else { Err(Closed) }
    }

    fn enter(self) -> Self::Enter {
        std::future::ready(self.try_enter())
    }
}

impl Entry<'_> {
    fn tell(&mut self, what: &'static str) {
        if let Some(log) = self.0.take() {
            log.told.borrow_mut().push(what);
        }
    }
}

impl Pass for Entry<'_> {
    type Refused = Closed;

    fn settle(mut self, outcome: Outcome) {
        self.tell(match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Ignored => "ignored",
        });
    }

    fn give_back(mut self) {
        self.tell("given back");
    }
}

impl<R: Classify> SettleBy<R> for Entry<'_> {
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.tell("dropped");
    }
}

/// Makes every caller wait for ever.
struct Wall;

struct NoPass(Infallible);

impl Gate for &Wall {
    type Pass = NoPass;
    type Refused = Closed;
    type Enter = Pending<Result<NoPass, Closed>>;

    fn try_enter(self) -> Result<NoPass, Closed> {
        Err(Closed)
    }

    fn enter(self) -> Self::Enter {
        pending()
    }
}

impl Pass for NoPass {
    type Refused = Closed;

    fn settle(self, _outcome: Outcome) {
        match self.0 {}
    }
}

#[test]
fn a_run_settles_by_its_result() {
    let gate = Log::open();
    assert_eq!(gate.run(|| Ok::<_, ()>(1)), Ok(Ok(1)));
    assert_eq!(gate.run(|| Err::<(), _>("no")), Ok(Err("no")));
    assert_eq!(gate.run(|| Classified::new(404, Outcome::Ignored)).unwrap().value, 404);
    gate.run(|| ()).unwrap();
    assert_eq!(gate.told(), ["success", "failure", "ignored", "success"]);
}

#[test]
fn a_panic_settles_as_a_failure() {
    let gate = Log::open();
    let panicking = || -> Result<(), ()> { std::panic::resume_unwind(Box::new("on purpose")) };
    assert!(catch_unwind(AssertUnwindSafe(|| gate.run(panicking))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| gate.run_or_else(panicking, |_| Ok(())))).is_err());
    assert!(
        catch_unwind(AssertUnwindSafe(|| gate.run_async(async { panicking() }).wait())).is_err()
    );
    assert_eq!(gate.told(), ["failure"; 3]);
}

#[test]
fn a_refused_run_does_not_act() {
    let gate = Log::closed();
    assert_eq!(gate.run(|| -> Result<(), ()> { panic!("acted") }), Err(Closed));
    let unpolled = std::future::poll_fn(|_| -> Poll<()> { panic!("polled") });
    assert_eq!(gate.run_async(unpolled).wait(), Err(Closed));
    assert_eq!(
        gate.run_or_else(|| panic!("acted"), |Closed| Err::<(), _>("fallback")),
        Err("fallback")
    );
    assert!(gate.told().is_empty());
}

#[test]
fn a_future_dropped_while_it_acts_drops_its_pass() {
    let gate = Log::open();
    {
        let mut run = pin!(gate.run_async(pending::<()>()));
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(gate.told().is_empty());
    }
    assert_eq!(gate.told(), ["dropped"]);
}

#[test]
fn what_acts_is_gone_before_its_pass() {
    struct Acting<'a>(&'a Log);
    impl Drop for Acting<'_> {
        fn drop(&mut self) {
            self.0.told.borrow_mut().push("stopped acting");
        }
    }
    let gate = Log::open();
    {
        let acting = Acting(&gate);
        let mut run = pin!(gate.run_async(async move {
            let _acting = acting;
            pending::<()>().await;
        }));
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(gate.told(), ["stopped acting", "dropped"]);
}

#[test]
fn a_pair_settles_both() {
    let (a, b, c) = (Log::open(), Log::open(), Log::open());
    let pair = (&a, (&b, &c));
    pair.run(|| Err::<(), _>(())).unwrap().unwrap_err();
    pair.run_async(async { Ok::<_, ()>(()) }).wait().unwrap().unwrap();
    for log in [&a, &b, &c] {
        assert_eq!(log.told(), ["failure", "success"]);
    }
}

#[test]
fn a_pair_gives_the_first_back_when_the_second_refuses() {
    let (open, closed) = (Log::open(), Log::closed());
    let pair = (&open, &closed);
    assert!(matches!(pair.try_enter(), Err(PairRefused::Second(Closed))));
    assert_eq!(pair.enter().wait().err(), Some(PairRefused::Second(Closed)));
    assert_eq!(open.told(), ["given back", "given back"]);
    // It gives back at once, however long the future lives on.
    let mut enter = pin!(pair.enter());
    assert!(enter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(open.told(), ["given back"]);
    let pair = (&closed, &open);
    assert!(matches!(pair.try_enter(), Err(PairRefused::First(Closed))));
    assert!(open.told().is_empty());
}

#[test]
fn a_pair_gives_the_first_back_when_the_wait_for_the_second_is_cancelled() {
    let open = Log::open();
    let pair = (&open, &Wall);
    {
        let mut enter = pin!(pair.enter());
        assert!(enter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(open.told(), ["given back"]);
}
