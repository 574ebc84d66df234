//! The classifier of a breaker decides how the breaker counts a call, by whatever handle and in
//! whatever row the call enters.

use std::{error::Error, fmt, num::NonZeroUsize, sync::Arc};

use tidegate::{
    Breaker, Gate, KeyedBreaker, Outcome, Pipeline, Quota, RateLimiter, Semaphore, Wait,
    circuit_breaker::{Builder, ByError, TripRule},
    gate::SettleBy,
    pipeline::OnError,
};

const MANY: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    Refused,
    NotFound,
    NotModified,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Error for Reply {}

type Answer = Result<u32, Reply>;

/// Their own `Classify` would count one success and three failures.
const ALL: [Answer; 4] =
    [Ok(7), Err(Reply::Refused), Err(Reply::NotFound), Err(Reply::NotModified)];

const fn judge(error: &Reply) -> Outcome {
    match error {
        Reply::Refused => Outcome::Failure,
        Reply::NotFound => Outcome::Ignored,
        Reply::NotModified => Outcome::Success,
    }
}

type Judge = ByError<fn(&Reply) -> Outcome>;
type Judged = Breaker<tidegate::SystemClock, (), Judge>;

fn builder() -> Builder<tidegate::SystemClock, (), Judge> {
    Breaker::builder().trip_on(TripRule::never()).classify_errors(judge as fn(&Reply) -> Outcome)
}

fn counts(breaker: &Judged) -> [u64; 3] {
    let stats = breaker.stats();
    [stats.succeeded, stats.failed, stats.ignored]
}

/// Calls by each method of a gate, and returns how often each answer came.
fn call_by_each_method<G>(gate: &G) -> u64
where
    G: Gate<Pass: SettleBy<Answer>, Refused: Error> + Clone,
{
    for answer in ALL {
        assert_eq!(gate.clone().run(|| answer).unwrap(), answer);
        assert_eq!(gate.clone().run_or_else(|| answer, |_| panic!("it is closed")), answer);
        assert_eq!(gate.clone().run_async(async { answer }).wait().unwrap(), answer);
        gate.clone().enter().wait().unwrap().settle_by(&answer);
    }
    4
}

/// Calls in the stage of a pipeline.
async fn call_in_a_pipeline<G>(gate: G) -> u64
where
    G: Gate<Pass: SettleBy<Answer>, Refused: Error + Send + Sync + 'static> + Clone,
{
    let call = |answer: Answer| async move { answer };
    let run = Pipeline::from_iter(ALL).gated("call", MANY, gate, call).on_error(OnError::Skip);
    assert_eq!(run.collect().await.unwrap(), [7]);
    1
}

/// Calls by a handle of `breaker`: alone, and in rows.
#[track_caller]
fn expect_its_classifier<G>(breaker: &Judged, gate: G)
where
    G: Gate<Pass: SettleBy<Answer>, Refused: Error + Send + Sync + 'static> + Clone,
{
    let (semaphore, limiter) = (Semaphore::new(1), RateLimiter::new(Quota::per_second(1_000_000)));
    let before = counts(breaker);
    let mut rounds = call_by_each_method(&gate);
    rounds += call_by_each_method(&(gate.clone(), &semaphore));
    rounds += call_by_each_method(&(&limiter, gate.clone()));
    rounds += call_by_each_method(&((&semaphore, gate.clone()), &limiter));
    rounds += call_in_a_pipeline(gate.clone()).wait();
    rounds += call_in_a_pipeline((gate, &semaphore)).wait();
    let after = counts(breaker);
    let told = [0, 1, 2].map(|at| after[at] - before[at]);
    assert_eq!(told, [2 * rounds, rounds, rounds], "successes, failures, ignored");
}

#[test]
fn a_breakers_classifier_decides_whatever_handle_a_call_enters_by() {
    let breaker = Arc::new(builder().build().unwrap());
    expect_its_classifier(&breaker, &*breaker);
    expect_its_classifier(&breaker, &breaker);
    expect_its_classifier(&breaker, breaker.clone());
    expect_its_classifier(&breaker, breaker.fail_fast());
    let fail_fast = breaker.clone().fail_fast_owned();
    expect_its_classifier(&breaker, &fail_fast);
    expect_its_classifier(&breaker, fail_fast);

    let servers = KeyedBreaker::<u32, _, _, _>::new(MANY, builder()).unwrap();
    let breaker = servers.gate(&7).unwrap();
    expect_its_classifier(&breaker, servers.gate(&7).unwrap());
    expect_its_classifier(&breaker, servers.fail_fast(&7).unwrap());
}

/// The calls as they are written where the trait is in scope: the trait's method is found first.
#[test]
fn a_breakers_classifier_decides_by_whatever_name_it_is_called() {
    let breaker = Arc::new(builder().build().unwrap());
    let rounds = 5;
    for answer in ALL {
        assert_eq!(breaker.clone().run(|| answer), Ok(answer));
        assert_eq!(breaker.clone().run_async(async { answer }).wait(), Ok(answer));
        assert_eq!(breaker.clone().run_or_else(|| answer, |_| panic!("it is closed")), answer);
        assert_eq!(breaker.fail_fast().run(|| answer), Ok(answer));
        assert_eq!(breaker.as_ref().run_async(async { answer }).wait(), Ok(answer));
    }
    assert_eq!(counts(&breaker), [2 * rounds, rounds, rounds]);
}
