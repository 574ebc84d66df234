//! Each pass is settled by the rule of its own gate: alone, in a row, and whatever the rules of the
//! others do.

use std::{
    cell::RefCell,
    future::{Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use tidegate_core::{
    Closed, Gate, Outcome, Pass, Wait,
    gate::{Classifier, SettleBy},
};

use Outcome::{Failure, Ignored, Success};

/// A gate with a rule of its own, that writes down what its passes are told.
struct Ruled<J> {
    rule: J,
    told: RefCell<Vec<Outcome>>,
}

impl<J> Ruled<J> {
    const fn new(rule: J) -> Self {
        Self { rule, told: RefCell::new(Vec::new()) }
    }

    fn told(&self) -> Vec<Outcome> {
        self.told.take()
    }
}

impl<J> Gate for &Ruled<J> {
    type Pass = Self;
    type Refused = Closed;
    type Enter = Ready<Result<Self, Closed>>;

    fn try_enter(self) -> Result<Self, Closed> {
        Ok(self)
    }

    fn enter(self) -> Self::Enter {
        ready(Ok(self))
    }
}

impl<J> Pass for &Ruled<J> {
    type Refused = Closed;

    fn settle(self, outcome: Outcome) {
        self.told.borrow_mut().push(outcome);
    }
}

impl<R: ?Sized, J: Classifier<R>> SettleBy<R> for &Ruled<J> {
    fn outcome(&self, result: &R) -> Outcome {
        self.rule.outcome(result)
    }
}

/// A rule that says the same of all results, or panics with a word.
#[derive(Clone, Copy)]
struct Always(Result<Outcome, &'static str>);

impl<R: ?Sized> Classifier<R> for Always {
    fn outcome(&self, _: &R) -> Outcome {
        self.0.unwrap_or_else(|word| resume_unwind(Box::new(word)))
    }
}

/// Returns the word of a panic, if there is one.
fn word_of<T>(act: impl FnOnce() -> T) -> Option<&'static str> {
    catch_unwind(AssertUnwindSafe(act)).err().map(|payload| *payload.downcast().unwrap())
}

#[test]
fn each_gate_of_a_row_goes_by_its_own_rule() {
    let even = Ruled::new(|n: &u32| if n % 2 == 0 { Success } else { Failure });
    let small = Ruled::new(|n: &u32| if *n < 10 { Success } else { Ignored });
    let any = Ruled::new(Always(Ok(Success)));
    let row = (&even, (&small, &any));
    assert_eq!(row.run(|| 12), Ok(12));
    assert_eq!(row.run_async(async { 7 }).wait(), Ok(7));
    assert_eq!(row.run_or_else(|| 13, |_| panic!("it is open")), 13);
    row.try_enter().unwrap().settle_by(&2);
    assert_eq!(even.told(), [Success, Failure, Failure, Success]);
    assert_eq!(small.told(), [Ignored, Success, Ignored, Success]);
    assert_eq!(any.told(), [Success; 4]);
}

#[test]
fn a_rule_that_panics_is_a_failure_and_keeps_no_other_pass_from_its_own_outcome() {
    let fine = [Ok(Ignored), Ok(Success), Ok(Ignored)];
    for panicking in 1_u32..8 {
        let rule = |at: usize| {
            let word = ["first", "second", "third"][at];
            if panicking & (1 << at) == 0 { fine[at] } else { Err(word) }
        };
        let [a, b, c] = [0, 1, 2].map(|at| Ruled::new(Always(rule(at))));
        let first = (0..3).find_map(|at| rule(at).err());
        let expect = |at: usize| rule(at).unwrap_or(Failure);
        let rows: [&dyn Fn(); 4] = [
            &|| _ = (&a, (&b, &c)).run(|| ()),
            &|| ((&a, &b), &c).run_or_else(|| (), |_| ()),
            &|| _ = (&a, (&b, &c)).run_async(async {}).wait(),
            &|| ((&a, &b), &c).try_enter().unwrap().settle_by("a result"),
        ];
        for row in rows {
            assert_eq!(word_of(row), first, "the first panic goes on");
            for (at, gate) in [&a, &b, &c].into_iter().enumerate() {
                assert_eq!(gate.told(), [expect(at)], "{panicking:b} {at}");
            }
        }
    }
}

#[test]
fn a_row_finds_the_worst_of_its_outcomes() {
    let worst = [[Success, Failure, Ignored], [Failure; 3], [Ignored, Failure, Ignored]];
    for (first, found) in [Success, Failure, Ignored].into_iter().zip(worst) {
        for (second, found) in [Success, Failure, Ignored].into_iter().zip(found) {
            let (a, b) = (Ruled::new(Always(Ok(first))), Ruled::new(Always(Ok(second))));
            assert_eq!((&a, &b).outcome(&()), found, "{first:?} {second:?}");
            assert!(a.told().is_empty() && b.told().is_empty());
        }
    }
}
