//! The loops, the same for every breaker. They check how many calls succeeded.

use std::{
    future::{Ready, poll_fn, ready},
    hint::black_box,
    time::Duration,
};

use futures_lite::future::block_on;
use tower::{Layer, Service, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerConfigBuilder, DefaultClassifier};

use super::subject::{Answer, InSteps, Subject};
use crate::timing::{scaled, timed, timed_on_two_threads};

/// So many failures open every breaker.
const MANY: u64 = 1000;

/// Calls that succeed, through a closed breaker.
pub(super) fn closed<S: Subject>(breaker: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let mut succeeded = 0;
        let elapsed = timed(|| succeeded = call(&breaker, n, Ok(())));
        assert_eq!(succeeded, n, "all of {n} succeed");
        elapsed
    }
}

/// The same in two steps, without a closure.
pub(super) fn closed_in_steps<S: InSteps>(breaker: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let mut entered = 0;
        let elapsed = timed(|| {
            for _ in 0..n {
                entered += u64::from(black_box(&breaker).enter_and_succeed());
            }
        });
        assert_eq!(entered, n, "all of {n} enter");
        elapsed
    }
}

/// The same from two threads.
pub(super) fn closed_by_two<S: Subject>(breaker: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let each = n.div_ceil(2);
        let elapsed = timed_on_two_threads(|_| || assert_eq!(call(&breaker, each, Ok(())), each));
        scaled(elapsed, 2 * each, n)
    }
}

/// Calls that an open breaker refuses; if it let them in, they would succeed.
pub(super) fn refused<S: Subject>(breaker: S) -> impl FnMut(u64) -> Duration {
    call(&breaker, MANY, Err(()));
    move |n| {
        let mut succeeded = 0;
        let elapsed = timed(|| succeeded = call(&breaker, n, Ok(())));
        assert_eq!(succeeded, 0, "none of {n} is let through");
        elapsed
    }
}

#[inline]
fn call<S: Subject>(breaker: &S, n: u64, answer: Answer) -> u64 {
    let mut succeeded = 0;
    for _ in 0..n {
        succeeded += u64::from(black_box(breaker).call(|| black_box(answer)));
    }
    succeeded
}

/// As [`closed`], for a breaker that is a tower service. One `block_on` is around all calls.
pub(super) fn closed_service(
    builder: CircuitBreakerConfigBuilder<DefaultClassifier>,
) -> impl FnMut(u64) -> Duration {
    let mut breaker = around(builder);
    move |n| {
        let mut succeeded = 0;
        let elapsed = timed(|| succeeded = call_service(&mut breaker, n, Ok(())));
        assert_eq!(succeeded, n, "all of {n} succeed");
        elapsed
    }
}

/// As [`closed_by_two`]; the threads have clones of one service.
pub(super) fn closed_service_by_two(
    builder: CircuitBreakerConfigBuilder<DefaultClassifier>,
) -> impl FnMut(u64) -> Duration {
    let breakers = around(builder);
    move |n| {
        let each = n.div_ceil(2);
        // The service may not be `Sync`, so each thread gets a clone, made before it starts.
        let both = [breakers.clone(), breakers.clone()].map(std::sync::Mutex::new);
        let elapsed = timed_on_two_threads(|thread| {
            let mut breaker = both[thread].lock().unwrap();
            move || assert_eq!(call_service(&mut *breaker, each, Ok(())), each)
        });
        scaled(elapsed, 2 * each, n)
    }
}

/// As [`refused`].
pub(super) fn refused_service(
    builder: CircuitBreakerConfigBuilder<DefaultClassifier>,
) -> impl FnMut(u64) -> Duration {
    let mut breaker = around(builder);
    call_service(&mut breaker, MANY, Err(()));
    move |n| {
        let mut succeeded = 0;
        let elapsed = timed(|| succeeded = call_service(&mut breaker, n, Ok(())));
        assert_eq!(succeeded, 0, "none of {n} is let through");
        elapsed
    }
}

/// A service that returns what it is sent, with a breaker around it.
fn around(
    builder: CircuitBreakerConfigBuilder<DefaultClassifier>,
) -> impl Service<Answer, Response = (), Future: Send> + Clone + Send + 'static {
    let service = service_fn(|answer: Answer| -> Ready<Answer> { ready(answer) });
    builder.build().unwrap().layer(service)
}

#[inline]
fn call_service<S: Service<Answer>>(breaker: &mut S, n: u64, answer: Answer) -> u64 {
    block_on(async {
        let mut succeeded = 0;
        for _ in 0..n {
            let breaker = black_box(&mut *breaker);
            if poll_fn(|context| breaker.poll_ready(context)).await.is_ok() {
                succeeded += u64::from(breaker.call(black_box(answer)).await.is_ok());
            }
        }
        succeeded
    })
}
