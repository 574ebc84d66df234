//! Whichever call of foreign code panics, the layers give back what they hold.

use std::{
    convert::Infallible,
    error::Error,
    future::{Ready, ready},
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use test_kit::{Fuse, OnDrop, Task, quietly};
use tidegate_core::{
    Clock, Gate, ManualClock, Outcome, Pass, Timer, Timestamp,
    gate::{Classify, SettleBy},
    time::ManualSleep,
};
use tidegate_rate_limiter::{KeyedLimiter, Quota};
use tidegate_semaphore::Semaphore;
use tidegate_tower::{CoalesceLayer, GateLayer, Refusal, http::HttpRefusal};
use tower::{Layer, Service, service_fn};

/// A user's value whose every method may panic.
#[derive(Debug)]
struct Foreign<T>(T, Arc<Fuse>);

impl<T: Clone> Clone for Foreign<T> {
    fn clone(&self) -> Self {
        self.1.call();
        Self(self.0.clone(), self.1.clone())
    }
}

impl<T: PartialEq> PartialEq for Foreign<T> {
    fn eq(&self, other: &Self) -> bool {
        self.1.call();
        self.0 == other.0
    }
}

impl<T: Eq> Eq for Foreign<T> {}

impl<T: Hash> Hash for Foreign<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.call();
        self.0.hash(state);
    }
}

impl Clock for Foreign<ManualClock> {
    fn now(&self) -> Timestamp {
        self.1.call();
        self.0.now()
    }
}

impl Timer for Foreign<ManualClock> {
    type Sleep = ManualSleep;

    fn sleep_until(&self, time: Timestamp) -> ManualSleep {
        self.1.call();
        self.0.sleep_until(time)
    }
}

/// A gate that lets everybody in, if it does not panic.
#[derive(Debug, Clone)]
struct Open(Foreign<()>);

impl Gate for Open {
    type Pass = Open;
    type Refused = Infallible;
    type Enter = Ready<Result<Open, Infallible>>;

    fn try_enter(self) -> Result<Open, Infallible> {
        self.0.1.call();
        Ok(self)
    }

    fn enter(self) -> Self::Enter {
        ready(self.try_enter())
    }
}

impl Pass for Open {
    type Refused = Infallible;

    fn settle(self, _: Outcome) {
        self.0.1.call();
    }
}

impl<R: Classify> SettleBy<R> for Open {
    fn outcome(&self, result: &R) -> Outcome {
        result.outcome()
    }
}

impl Service<u32> for Foreign<()> {
    type Response = Response<Foreign<u8>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Foreign<u8>>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.1.call();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        self.1.call();
        let (fuse, dropped) = (self.1.clone(), self.1.clone());
        Box::pin(async move {
            let _dropped = OnDrop(move || dropped.call());
            fuse.call();
            smol::future::yield_now().await;
            fuse.call();
            Ok(Response::new(Foreign(2, fuse)))
        })
    }
}

/// A body of so many frames.
impl Body for Foreign<u8> {
    type Data = &'static [u8];
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<&'static [u8]>, Infallible>>> {
        self.1.call();
        let frame = self.0.checked_sub(1).map(|left| {
            self.0 = left;
            Ok(Frame::data(&b"a"[..]))
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.1.call();
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.1.call();
        SizeHint::default()
    }
}

/// Makes three calls and reads their bodies to the end; the last call is refused. Any call of
/// foreign code in them may panic.
fn three_calls(fuse: &Arc<Fuse>) {
    let semaphore = Arc::new(Semaphore::new(1));
    let clock = Foreign(ManualClock::new(), fuse.clone());
    let quota = Quota::per_hour(2);
    let max_keys = NonZeroUsize::new(2).unwrap();
    let clients = Arc::new(KeyedLimiter::with_clock(quota, max_keys, fuse.off(|| clock.clone())));
    let service = fuse.off(|| {
        let (key, classify, respond) = (fuse.clone(), fuse.clone(), fuse.clone());
        let at_once = GateLayer::new((Open(Foreign((), fuse.clone())), semaphore.clone()))
            .wait_at_most(Duration::from_secs(1), clock.clone())
            .classify(move |_: &Result<Response<Foreign<u8>>, Infallible>| {
                classify.call();
                Outcome::Success
            })
            .hold_until_body_ends();
        let key_of = move |client: &u32| {
            key.call();
            Some(Foreign(*client, key.clone()))
        };
        let per_client = GateLayer::keyed(clients.clone(), key_of).refuse();
        let inner = at_once.layer(Foreign((), fuse.clone()));
        let inner = tower::util::MapResponse::new(inner, |response: Response<_>| {
            response.map(BodyExt::boxed_unsync)
        });
        per_client
            .respond_with(move |refusal: Refusal<_>| {
                respond.call();
                let empty = http_body_util::Empty::new();
                let mut response = Response::new(BodyExt::boxed_unsync(empty));
                *response.status_mut() = refusal.status();
                response
            })
            .layer(inner)
    });
    let call = |client| {
        let mut service = service.clone();
        let ready = service.poll_ready(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(ready.is_ready());
        let Poll::Ready(response) = Task::new(service.call(client)).run() else {
            panic!("it waits for what nobody holds")
        };
        let response = response.map_err(|error| Box::<dyn Error>::from(error.to_string()));
        let response = response.unwrap();
        let status = response.status();
        assert!(Task::new(response.collect()).run().is_ready());
        status
    };
    for _ in 0..3 {
        let _ = quietly(|| call(1));
        assert_eq!(semaphore.available_permits(), 1);
    }
    fuse.off(|| {
        assert_eq!(call(2), 200);
        assert!(clients.len() <= 2);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_panic_at_any_foreign_call_gives_permits_and_keys_back() {
    let tried = (0..).find(|at| {
        let fuse = Fuse::new(*at, 1);
        three_calls(&fuse);
        fuse.is_whole()
    });
    assert!(tried > Some(30), "{tried:?}");
}

#[test]
fn a_panic_at_any_foreign_call_of_equal_requests_leaves_none_asleep() {
    let both = |fuse: &Arc<Fuse>| {
        let calls = fuse.clone();
        let inner = service_fn(move |n: u32| {
            let fuse = calls.clone();
            async move {
                fuse.call();
                smol::future::yield_now().await;
                fuse.call();
                Ok::<_, Infallible>(Foreign(n, fuse))
            }
        });
        let key = fuse.clone();
        let layer = CoalesceLayer::new(move |n: &u32| {
            key.call();
            Some(Foreign(*n, key.clone()))
        });
        let service = layer.layer(inner);
        let start = || quietly(|| Task::new(service.clone().call(7)));
        let mut tasks = [start(), start(), start()];
        for _ in 0..2 {
            for task in &mut tasks {
                // A task that has panicked or is ready is not polled again.
                if let Some(polled) = task.as_mut().map(|task| quietly(|| task.run())) {
                    if polled.is_none_or(|polled| polled.is_ready()) {
                        let ended = task.take();
                        assert!(quietly(|| drop(ended)).is_some());
                    }
                }
            }
        }
        assert!(tasks.iter().all(Option::is_none), "one sleeps for ever");
        assert!(fuse.off(|| Task::new(service.clone().call(7)).run().is_ready()));
    };
    let tried = (0..).find(|at| {
        let fuse = Fuse::new(*at, 1);
        both(&fuse);
        fuse.is_whole()
    });
    assert!(tried > Some(8), "{tried:?}");
}

#[test]
fn a_body_that_panics_is_a_failure() {
    // The body's calls: whether it has ended, its size, a poll, whether it has ended, and a poll.
    for at in 0..5 {
        let breaker = tidegate_circuit_breaker::Breaker::builder().build().unwrap();
        let breaker = Arc::new(breaker);
        let fuse = Fuse::new(at, 1);
        let inner = {
            let fuse = fuse.clone();
            service_fn(move |()| {
                let body = Foreign(2_u8, fuse.clone());
                async move { Ok::<_, Infallible>(Response::new(body)) }
            })
        };
        let layer = GateLayer::new(breaker.clone().fail_fast_owned()).hold_until_body_ends();
        let mut service = layer.layer(inner);
        let ended = quietly(|| {
            let Poll::Ready(Ok(mut response)) = Task::new(service.call(())).poll() else {
                panic!("it waits for nothing")
            };
            (0..2).for_each(|_| drop(Task::new(response.frame()).run()));
        });
        assert!(ended.is_none() && !fuse.is_whole());
        assert_eq!((breaker.stats().failed, breaker.stats().ignored), (1, 0), "{at}");
    }
}
