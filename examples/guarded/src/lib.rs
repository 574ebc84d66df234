//! Guards a call with a circuit breaker, a rate limiter and a semaphore: `cargo run -p guarded`.
//!
//! ```text
//! (breaker.fail_fast(), (&limiter, &semaphore))
//!   │                     │         └ at most 4 in flight
//!   │                     └ at most so many a second: a call waits for its turn
//!   └ is the server well? if not, it refuses at once
//! ```
//!
//! A row enters from left to right: a call to a server that is down takes no token and no permit,
//! and a call that waits for a token holds no permit. A call that a later gate refuses, or that
//! gives up waiting, gives back what the earlier gates gave it, as if it had never been there. A
//! call that had to wait asks the breaker again before it goes: the server may have gone down
//! meanwhile. The result of a call that was let in settles all three gates, each by its own rule:
//! the breaker counts it, the semaphore gets its permit back, the token stays spent.
//!
//! The row borrows its gates. Still, a task that holds them in an `Arc` can be spawned anywhere.

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
    /// Creates the guards: 500 requests a second, in bursts of 5; a breaker stays open for 20 ms.
    pub fn new() -> Self {
        // Put the quota of your API here, for example `presets::GITHUB_REST_AUTHENTICATED`.
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

/// Calls `server` behind `guards` until it has answered `answers` times, in a task or a thread.
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
