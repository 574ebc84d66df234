#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

pub mod sync;

#[cfg(feature = "batch-processor")]
pub use tidegate_batch_processor as batch_processor;
#[cfg(feature = "circuit-breaker")]
pub use tidegate_circuit_breaker as circuit_breaker;
#[cfg(feature = "concurrent-map")]
pub use tidegate_concurrent_map as concurrent_map;
#[cfg(feature = "pipeline")]
pub use tidegate_pipeline as pipeline;
#[cfg(feature = "rate-limiter")]
pub use tidegate_rate_limiter as rate_limiter;
#[cfg(feature = "semaphore")]
pub use tidegate_semaphore as semaphore;
#[cfg(feature = "worker-pool")]
pub use tidegate_worker_pool as worker_pool;

#[cfg(feature = "batch-processor")]
pub use tidegate_batch_processor::Batcher;
#[cfg(feature = "circuit-breaker")]
pub use tidegate_circuit_breaker::{Breaker, KeyedBreaker};
#[cfg(feature = "concurrent-map")]
pub use tidegate_concurrent_map::{ConcurrentMap, ConcurrentSet, Keyed};
#[cfg(target_has_atomic = "ptr")]
pub use tidegate_core::Queue;
pub use tidegate_core::{
    Backoff, BuildError, CachedClock, CancelToken, Cancelled, Clock, Closed, DurationText, Gate,
    ManualClock, Outcome, ParseError, Pass, Reason, SystemClock, TimedOut, Timer, Timestamp, Wait,
    backoff, cancel, duration_text, gate, hedge, primitive, random, retry, time,
};
#[cfg(feature = "pipeline")]
pub use tidegate_pipeline::Pipeline;
#[cfg(feature = "rate-limiter")]
pub use tidegate_rate_limiter::{KeyedLimiter, Quota, RateLimiter};
#[cfg(feature = "semaphore")]
pub use tidegate_semaphore::{Permit, Semaphore};
#[cfg(feature = "worker-pool")]
pub use tidegate_worker_pool::{JobHandle, WorkerPool};
