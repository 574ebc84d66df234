//! The limiters that are measured, behind three traits.

use std::hash::BuildHasher;

use governor::{
    clock::{self, ReasonablyRealtime},
    middleware::NoOpMiddleware,
    state::keyed::{DashMapStateStore, HashMapStateStore},
};
use tidegate_core::{Clock, Timer};
use tidegate_rate_limiter::{KeyedLimiter, RateLimiter};

use super::Governor;

/// A limiter that is asked for a token.
pub(super) trait Subject: Send + Sync + 'static {
    /// Whether it allows.
    fn check(&self) -> bool;
}

/// A limiter that is waited for.
pub(super) trait Async: Subject {
    /// Waits for a token.
    fn acquire(&self) -> impl Future<Output = ()>;
}

/// A limiter that is asked for a token of a key.
pub(super) trait Keyed: Send + Sync + 'static {
    /// Whether it allows.
    fn check(&self, key: u64) -> bool;
}

impl<C: Clock + Send + Sync + 'static> Subject for RateLimiter<C> {
    #[inline]
    fn check(&self) -> bool {
        self.try_acquire(1).is_ok()
    }
}

impl<C: Timer + Send + Sync + 'static> Async for RateLimiter<C> {
    #[inline]
    async fn acquire(&self) {
        self.acquire(1).await.unwrap();
    }
}

impl<C: Clock + Send + Sync + 'static> Keyed for KeyedLimiter<u64, C> {
    #[inline]
    fn check(&self, key: u64) -> bool {
        self.try_acquire(&key, 1).is_ok()
    }
}

impl<C: clock::Clock + Send + Sync + 'static> Subject for Governor<C>
where
    C::Instant: Send + Sync,
{
    #[inline]
    fn check(&self) -> bool {
        self.check().is_ok()
    }
}

impl<C: ReasonablyRealtime + Send + Sync + 'static> Async for Governor<C>
where
    C::Instant: Send + Sync,
{
    #[inline]
    async fn acquire(&self) {
        self.until_ready().await;
    }
}

/// Governor's limiter with keys in `Store`.
type GovernorOf<Store, C> =
    governor::RateLimiter<u64, Store, C, NoOpMiddleware<<C as clock::Clock>::Instant>>;

pub(super) fn dashmap<C: clock::Clock, S: BuildHasher + Default + Clone>(
    quota: governor::Quota,
    clock: C,
    hasher: S,
) -> GovernorOf<DashMapStateStore<u64, S>, C> {
    governor::RateLimiter::dashmap_with_clock_and_hasher(quota, clock, hasher)
}

pub(super) fn hashmap<C: clock::Clock, S: BuildHasher>(
    quota: governor::Quota,
    clock: C,
    hasher: S,
) -> GovernorOf<HashMapStateStore<u64, S>, C> {
    governor::RateLimiter::hashmap_with_clock_and_hasher(quota, clock, hasher)
}

impl<Store, C> Keyed for GovernorOf<Store, C>
where
    Store: governor::state::StateStore<Key = u64> + Send + Sync + 'static,
    C: clock::Clock + Send + Sync + 'static,
    C::Instant: Send + Sync,
{
    #[inline]
    fn check(&self, key: u64) -> bool {
        self.check_key(&key).is_ok()
    }
}

impl<C: ratelimit::Clock + Send + Sync + 'static> Subject for ratelimit::Ratelimiter<C> {
    #[inline]
    fn check(&self) -> bool {
        self.try_wait().is_ok()
    }
}

impl Subject for leaky_bucket::RateLimiter {
    #[inline]
    fn check(&self) -> bool {
        self.try_acquire(1)
    }
}

impl Async for leaky_bucket::RateLimiter {
    #[inline]
    async fn acquire(&self) {
        self.acquire(1).await;
    }
}
