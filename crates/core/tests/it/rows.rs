//! What rows of gates promise: renewal after a wait, no pass lost to a panic, `Send` futures.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tidegate_core::{
    Closed, Gate, Outcome, Pass, Wait,
    gate::{Classify, PairRefused, SettleBy},
};

/// Makes callers wait while it is shut, and writes down what its passes are told.
struct Door {
    open: Cell<bool>,
    renewable: Cell<bool>,
    panics: Cell<bool>,
    told: RefCell<Vec<&'static str>>,
}

impl Door {
    fn new(open: bool) -> Self {
        Self {
            open: Cell::new(open),
            renewable: Cell::new(true),
            panics: Cell::new(false),
            told: RefCell::default(),
        }
    }

    fn told(&self) -> Vec<&'static str> {
        self.told.take()
    }

    fn tell(&self, what: &'static str) {
        self.told.borrow_mut().push(what);
        if self.panics.get() {
            resume_unwind(Box::new("on purpose"));
        }
    }
}

struct AtDoor<'a>(&'a Door);

impl<'a> Future for AtDoor<'a> {
    type Output = Result<Inside<'a>, Closed>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.open.get() { Poll::Ready(Ok(Inside(self.0))) } else { Poll::Pending }
    }
}

struct Inside<'a>(&'a Door);

impl<'a> Gate for &'a Door {
    type Pass = Inside<'a>;
    type Refused = Closed;
    type Enter = AtDoor<'a>;

    fn try_enter(self) -> Result<Inside<'a>, Closed> {
        if self.open.get() { Ok(Inside(self)) } else { Err(Closed) }
    }

    fn enter(self) -> AtDoor<'a> {
        AtDoor(self)
    }
}

impl Pass for Inside<'_> {
    type Refused = Closed;

    fn renew(&mut self) -> Result<(), Closed> {
        self.0.tell("renewed");
        if self.0.renewable.get() { Ok(()) } else { Err(Closed) }
    }

    fn settle(self, outcome: Outcome) {
        self.0.tell(match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Ignored => "ignored",
        });
    }

    fn give_back(self) {
        self.0.tell("given back");
    }
}

impl<R: Classify> SettleBy<R> for Inside<'_> {
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn panics<R>(act: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

#[test]
fn a_wait_for_a_later_gate_renews_the_passes_before_it() {
    let (a, b, c) = (Door::new(true), Door::new(true), Door::new(false));
    let mut row = pin!((&a, (&b, &c)).run_async(async { Ok::<_, ()>(()) }));
    assert!(poll(row.as_mut()).is_pending());
    c.open.set(true);
    assert_eq!(poll(row.as_mut()), Poll::Ready(Ok(Ok(()))));
    assert_eq!(
        [a.told(), b.told(), c.told()],
        [vec!["renewed", "success"], vec!["renewed", "success"], vec!["success"]]
    );

    let c = Door::new(false);
    let mut row = pin!(((&a, &b), &c).run_async(async { Ok::<_, ()>(()) }));
    assert!(poll(row.as_mut()).is_pending());
    c.open.set(true);
    assert_eq!(poll(row.as_mut()), Poll::Ready(Ok(Ok(()))));
    assert_eq!([a.told(), b.told()], [["renewed", "success"]; 2]);
    assert_eq!(c.told(), ["success"]);
}

#[test]
fn a_row_that_waits_for_its_first_gate_only_renews_nothing() {
    let (a, b) = (Door::new(false), Door::new(true));
    let mut row = pin!((&a, &b).run_async(async { Ok::<_, ()>(()) }));
    assert!(poll(row.as_mut()).is_pending());
    a.open.set(true);
    assert!(poll(row.as_mut()).is_ready());
    (&a, &b).run(|| ()).unwrap();
    (&a, &b).run_or_else(|| (), |_| panic!("refused"));
    assert_eq!([a.told(), b.told()], [["success"; 3]; 2]);
}

#[test]
fn a_refused_renewal_gives_the_whole_row_back() {
    let (a, b, c) = (Door::new(true), Door::new(true), Door::new(false));
    b.renewable.set(false);
    let mut row = pin!((&a, (&b, &c)).run_async(async { panic!("it acted") as () }));
    assert!(poll(row.as_mut()).is_pending());
    c.open.set(true);
    let refused = PairRefused::Second(PairRefused::First(Closed));
    assert_eq!(poll(row.as_mut()), Poll::Ready(Err(refused)));
    // They are given back at once, however long the future lives on.
    assert_eq!([a.told(), c.told()], [["given back"]; 2]);
    assert_eq!(b.told(), ["renewed", "given back"]);
}

#[test]
fn a_renewal_that_panics_gives_the_whole_row_back() {
    struct PanicOnce<'a>(Inside<'a>);
    impl Pass for PanicOnce<'_> {
        type Refused = Closed;
        fn renew(&mut self) -> Result<(), Closed> {
            resume_unwind(Box::new("on purpose"))
        }
        fn settle(self, outcome: Outcome) {
            self.0.settle(outcome);
        }
        fn give_back(self) {
            self.0.give_back();
        }
    }
    struct Fragile<'a>(&'a Door);
    impl<'a> Gate for Fragile<'a> {
        type Pass = PanicOnce<'a>;
        type Refused = Closed;
        type Enter = std::future::Ready<Result<PanicOnce<'a>, Closed>>;
        fn try_enter(self) -> Result<PanicOnce<'a>, Closed> {
            self.0.try_enter().map(PanicOnce)
        }
        fn enter(self) -> Self::Enter {
            std::future::ready(self.try_enter())
        }
    }
    let (c, d) = (Door::new(true), Door::new(false));
    let mut row = pin!((Fragile(&c), &d).enter());
    assert!(poll(row.as_mut()).is_pending());
    d.open.set(true);
    assert!(panics(|| poll(row.as_mut()).is_ready()));
    assert_eq!([c.told(), d.told()], [["given back"]; 2]);
    assert!(panics(|| poll(row.as_mut()).is_ready()), "polled after it has ended");
    assert!(c.told().is_empty() && d.told().is_empty());
}

#[test]
fn a_panic_in_the_settling_of_one_gate_hides_the_outcome_from_none() {
    let (a, b, c) = (Door::new(true), Door::new(true), Door::new(true));
    for fragile in [&a, &b, &c] {
        fragile.panics.set(true);
        assert!(panics(|| (&a, (&b, &c)).run(|| Err::<(), _>(()))));
        assert!(panics(|| (&a, (&b, &c)).enter().wait().unwrap().give_back()));
        fragile.panics.set(false);
        for door in [&a, &b, &c] {
            assert_eq!(door.told(), ["failure", "given back"]);
        }
    }
}

#[test]
fn a_classification_that_panics_is_a_failure() {
    struct Undecided;
    impl Classify for Undecided {
        fn outcome(&self) -> Outcome {
            resume_unwind(Box::new("on purpose"))
        }
    }
    let (a, b) = (Door::new(true), Door::new(true));
    assert!(panics(|| (&a, &b).run(|| Undecided).is_ok()));
    assert!(panics(|| (&a, &b).run_or_else(|| Undecided, |_| Undecided)));
    assert!(panics(|| (&a, &b).run_async(async { Undecided }).wait().is_ok()));
    assert_eq!([a.told(), b.told()], [["failure"; 3]; 2]);
}

#[test]
fn a_guarded_future_that_is_polled_after_its_end_runs_nothing() {
    let door = Door::new(true);
    let polls = Cell::new(0);
    let counted = || {
        std::future::poll_fn(|_| {
            polls.set(polls.get() + 1);
            if polls.get() == 2 {
                resume_unwind(Box::new("on purpose"));
            }
            Poll::Ready(())
        })
    };
    // It has ended with its output.
    let mut run = pin!((&door).run_async(counted()));
    assert!(poll(run.as_mut()).is_ready());
    assert!(panics(|| poll(run.as_mut())));
    assert_eq!((polls.get(), door.told()), (1, vec!["success"]));
    // It has ended with a panic.
    let mut run = pin!((&door).run_async(counted()));
    assert!(panics(|| poll(run.as_mut())));
    assert!(panics(|| poll(run.as_mut())));
    assert_eq!((polls.get(), door.told()), (2, vec!["failure"]));
    // It has ended with a refusal.
    struct Shut;
    impl Gate for Shut {
        type Pass = Inside<'static>;
        type Refused = Closed;
        type Enter = std::future::Ready<Result<Inside<'static>, Closed>>;
        fn try_enter(self) -> Result<Inside<'static>, Closed> {
            Err(Closed)
        }
        fn enter(self) -> Self::Enter {
            std::future::ready(Err(Closed))
        }
    }
    for row in [true, false] {
        let refused: &mut dyn FnMut() -> bool = if row {
            &mut || {
                let mut run = pin!((&door, Shut).run_async(counted()));
                poll(run.as_mut()).is_ready() && panics(|| poll(run.as_mut()))
            }
        } else {
            &mut || {
                let mut run = pin!(Shut.run_async(counted()));
                poll(run.as_mut()).is_ready() && panics(|| poll(run.as_mut()))
            }
        };
        assert!(refused());
    }
    assert_eq!((polls.get(), door.told()), (2, vec!["given back"]));
}

/// Has to compile: an async block with a row in it is `Send` where the row's parts are, whatever
/// they borrow.
#[test]
fn a_row_can_be_spawned_where_its_gates_can() {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tidegate_core::gate::OwnedGate;

    #[derive(Default)]
    struct Turn(AtomicU32);
    struct Borrowed<'a>(&'a Turn);
    struct Owned(Arc<Turn>);
    impl Pass for Borrowed<'_> {
        type Refused = Closed;
        fn settle(self, _: Outcome) {
            self.0.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl<R: Classify> SettleBy<R> for Borrowed<'_> {
        fn outcome(&self, result: &R) -> Outcome {
            result.outcome()
        }
    }
    impl Pass for Owned {
        type Refused = Closed;
        fn settle(self, _: Outcome) {
            self.0.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl<R: Classify> SettleBy<R> for Owned {
        fn outcome(&self, result: &R) -> Outcome {
            result.outcome()
        }
    }
    impl<'a> Gate for &'a Turn {
        type Pass = Borrowed<'a>;
        type Refused = Closed;
        type Enter = std::future::Ready<Result<Borrowed<'a>, Closed>>;
        fn try_enter(self) -> Result<Borrowed<'a>, Closed> {
            Ok(Borrowed(self))
        }
        fn enter(self) -> Self::Enter {
            std::future::ready(self.try_enter())
        }
    }
    impl OwnedGate for Turn {
        type Pass = Owned;
        type Refused = Closed;
        type Enter = std::future::Ready<Result<Owned, Closed>>;
        fn try_enter_owned(gate: Arc<Self>) -> Result<Owned, Closed> {
            Ok(Owned(gate))
        }
        fn enter_owned(gate: Arc<Self>) -> Self::Enter {
            std::future::ready(Self::try_enter_owned(gate))
        }
    }

    static TURN: Turn = Turn(AtomicU32::new(0));
    let turn = Arc::new(Turn::default());
    let local = Turn::default();

    async fn generic<G: Gate<Pass: SettleBy<()>> + Clone>(gate: G) {
        for _ in 0..2 {
            gate.clone().run_async(std::future::ready(())).await.unwrap();
        }
    }
    /// As `tokio::spawn` asks for it.
    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        std::thread::spawn(move || task.wait()).join().unwrap();
    }

    let gate = turn.clone();
    spawn(async move { gate.run_async(async {}).await.unwrap() });
    let gate = turn.clone();
    spawn(async move {
        for _ in 0..2 {
            (&gate, &TURN).run_async(async {}).await.unwrap();
            (&*gate, &TURN).enter().await.unwrap().settle(Outcome::Success);
        }
    });
    spawn(generic((turn.clone(), (&TURN, turn.clone()))));
    spawn(generic(&TURN));
    let row = (turn.clone(), (turn.clone(), turn.clone()));
    spawn(async move { row.run_async(async {}).await.unwrap() });
    spawn((&TURN, turn.clone()).run_async(async {}).map_unwrap());
    std::thread::scope(|scope| {
        let (row, local) = ((&local, (&TURN, &*turn)), &local);
        scope.spawn(move || row.run(|| ()).unwrap());
        scope.spawn(move || generic((local, row)).wait());
    });
    assert_eq!((turn.0.load(Ordering::Relaxed), local.0.load(Ordering::Relaxed)), (16, 5));

    /// Turns a future that has a name into one that has none.
    trait MapUnwrap: Future + Sized {
        fn map_unwrap(self) -> impl Future<Output = ()>;
    }
    impl<R, F: Future<Output = Result<(), R>>> MapUnwrap for F {
        async fn map_unwrap(self) {
            assert!(self.await.is_ok());
        }
    }
}

/// Has to compile: with a blanket implementation for references, the compiler's search for one
/// would have no end.
#[test]
fn a_function_may_ask_for_references_that_are_gates() {
    fn twice<'g, G>(gate: &'g G, mut between: impl FnMut())
    where
        &'g G: Gate<Pass: SettleBy<()>>,
    {
        gate.run_or_else(|| (), |_| panic!("refused"));
        between();
        (gate, gate).run(|| ()).unwrap();
    }
    let (door, mut calls) = (Door::new(true), 0);
    twice(&door, || calls += 1);
    assert_eq!((calls, door.told()), (1, vec!["success"; 3]));
}

/// A gate whose passes count how often they are paused and renewed.
#[derive(Default)]
struct Timed {
    paused: Cell<u32>,
    renewed: Cell<u32>,
}

struct TimedPass<'a>(&'a Timed);

impl<'a> Gate for &'a Timed {
    type Pass = TimedPass<'a>;
    type Refused = Closed;
    type Enter = std::future::Ready<Result<TimedPass<'a>, Closed>>;

    fn try_enter(self) -> Result<TimedPass<'a>, Closed> {
        Ok(TimedPass(self))
    }

    fn enter(self) -> Self::Enter {
        std::future::ready(self.try_enter())
    }
}

impl Pass for TimedPass<'_> {
    type Refused = Closed;

    fn pause(&mut self) {
        self.0.paused.set(self.0.paused.get() + 1);
    }

    fn renew(&mut self) -> Result<(), Closed> {
        self.0.renewed.set(self.0.renewed.get() + 1);
        Ok(())
    }

    fn settle(self, _: Outcome) {}
}

#[test]
fn passes_are_paused_once_when_a_later_gate_has_to_be_waited_for() {
    let (outer, inner, door) = (Timed::default(), Timed::default(), Door::new(true));
    assert!(poll(pin!(((&outer, &inner), &door).enter())).is_ready());
    assert_eq!((outer.paused.get(), outer.renewed.get()), (0, 0), "no wait");
    let door = Door::new(false);
    let mut left = pin!(((&outer, &inner), &door).enter());
    let mut right = pin!((&outer, (&inner, &door)).enter());
    for _ in 0..3 {
        assert!(poll(left.as_mut()).is_pending());
        assert!(poll(right.as_mut()).is_pending());
    }
    let counts = || [&outer, &inner].map(|gate| (gate.paused.get(), gate.renewed.get()));
    assert_eq!(counts(), [(2, 0); 2]);
    door.open.set(true);
    assert!(poll(left).is_ready() && poll(right).is_ready());
    assert_eq!(counts(), [(2, 2); 2]);
}
