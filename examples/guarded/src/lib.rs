//! Guards a call with a circuit breaker, a rate limiter and a semaphore together: `cargo run -p guarded`.
//!
//! ```text
//! (breaker.fail_fast(), (&limiter, &semaphore))
//!   │                     │         └ at most 4 in flight: taken last, so no call holds a permit while it waits for a token
//!   │                     └ at most so many a second: waits for its turn
//!   └ is the server well? first, and refuses at once: to a server that is down nothing is due, neither token nor place
//! ```
//!
//! A row enters from left to right. A call that is refused further right, or gives up waiting, gives back what it got
//! further left, as if it had never been there. A call that had to wait asks the breaker again before it goes: the server
//! may have gone down meanwhile. The result of a call that was let in settles all three, each by its own rule: the breaker
//! counts it, the semaphore gets its permit back, the token stays spent.
//!
//! The row borrows, and a task that has the guards in an `Arc` can still be spawned, in any executor.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tidegate::{
    Gate, SystemClock, Timer,
    circuit_breaker::{Breaker, FailFast, OpenFor, TripRule, gate::PairRefused},
    rate_limiter::{Quota, RateLimiter},
    semaphore::Semaphore,
};

/// The guards of one server.
#[derive(Debug)]
pub struct Guards {
    breaker: Breaker,
    limiter: RateLimiter,
    semaphore: Semaphore,
}

/// The gates of [`Guards`] in their order.
pub type Gates<'a> = (&'a FailFast, (&'a RateLimiter, &'a Semaphore));

impl Guards {
    /// Creates the guards of a server that takes 500 requests a second, 5 at once, and rests for 20 ms when it is down.
    pub fn new() -> Self {
        // The line to swap for the quota of your API, for example `presets::GITHUB_REST_AUTHENTICATED`.
        let quota = Quota::per_second(500).burst(5);
        let breaker = Breaker::builder()
            .trip_on(TripRule::consecutive(3))
            .open_for(OpenFor::fixed(Duration::from_millis(20)))
            .build()
            .expect("a valid breaker");
        Self { breaker, limiter: RateLimiter::new(quota), semaphore: Semaphore::new(4) }
    }

    /// Returns the gates in their order.
    pub fn gates(&self) -> Gates<'_> {
        (self.breaker.fail_fast(), (&self.limiter, &self.semaphore))
    }

    /// Returns the breaker, for its state and counts.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Returns how many permits nobody holds.
    pub fn free_permits(&self) -> usize {
        self.semaphore.available_permits()
    }
}

impl Default for Guards {
    fn default() -> Self {
        Self::new()
    }
}

/// A server that is down from its 10th to its 14th request.
#[derive(Debug, Default)]
pub struct Server {
    requests: AtomicU32,
}

impl Server {
    /// Answers with the number of the request.
    ///
    /// # Errors
    ///
    /// While it is down.
    pub fn answer(&self) -> Result<u32, &'static str> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if (10..15).contains(&number) { Err("server is down") } else { Ok(number) }
    }
}

/// What became of the calls of a visit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tale {
    /// Calls that were answered.
    pub answered: u32,
    /// Calls that the server failed.
    pub failed: u32,
    /// Calls that the breaker kept from the server.
    pub refused: u32,
}

/// Calls `server` behind `guards` until it has answered `answers` times. The same future for a task and a thread.
pub async fn visit(guards: Arc<Guards>, server: Arc<Server>, answers: u32) -> Tale {
    let mut tale = Tale::default();
    let gates = guards.gates();
    while tale.answered < answers {
        match gates.run_async(async { server.answer() }).await {
            Ok(Ok(_)) => tale.answered += 1,
            Ok(Err(_)) => tale.failed += 1,
            Err(PairRefused::First(refused)) => {
                tale.refused += 1;
                SystemClock.sleep(refused.retry_after.unwrap_or(Duration::ZERO)).await;
            }
            Err(_) => unreachable!("the limiter and the semaphore wait"),
        }
    }
    tale
}
