//! A pool's settings as plain data.

#[cfg(feature = "std")]
use core::time::Duration;

#[cfg(feature = "std")]
use tidegate_core::SystemClock;

#[cfg(feature = "std")]
use crate::workers::thread_limits::ThreadCount;
use crate::{builder::Builder, on_full::OnFull, pool::WorkerPool};

/// The settings of a [`WorkerPool`] as plain data, for example those of a file: with the feature
/// `serde` it is read and written, and an unknown field is refused. Durations are text there:
/// `1m30s`.
///
/// The fields are called as the methods of the [`Builder`] are; `None` is the builder's default.
/// What needs a clock is measured by the system's.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use tidegate_worker_pool::{OnFull, PoolSettings, ThreadCount};
///
/// let settings: PoolSettings = toml::from_str(r#"
///     threads = { min = 1, max = 64 }
///     queue = 256
///     on_full = "reject"
///     job_timeout = "30s"
/// "#)?;
/// assert_eq!(settings.threads, Some(ThreadCount::from(1..=64)));
/// assert_eq!(settings.on_full, Some(OnFull::Reject));
/// let pool = settings.builder().build()?;
/// assert_eq!(pool.stats().capacity, 256);
///
/// let settings: PoolSettings = toml::from_str("threads = 0")?;
/// assert_eq!(
///     settings.builder().build().unwrap_err().to_string(),
///     "threads is 0..=0, but must be a range within 1..=65535",
/// );
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
#[non_exhaustive]
pub struct PoolSettings {
    /// See [`Builder::threads`]. In a file: a number, or a table of `min` and `max`.
    #[cfg(feature = "std")]
    pub threads: Option<ThreadCount>,
    /// See [`Builder::keep_alive`].
    #[cfg(feature = "std")]
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text::option"))]
    pub keep_alive: Option<Duration>,
    /// See [`Builder::stack_size`].
    #[cfg(feature = "std")]
    pub stack_size: Option<usize>,
    /// See [`Builder::queue`].
    pub queue: Option<usize>,
    /// See [`Builder::on_full`].
    pub on_full: Option<OnFull>,
    /// See [`Builder::max_queue_age`].
    #[cfg(feature = "std")]
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text::option"))]
    pub max_queue_age: Option<Duration>,
    /// See [`Builder::job_timeout`].
    #[cfg(feature = "std")]
    #[cfg_attr(feature = "serde", serde(with = "tidegate_core::duration_text::option"))]
    pub job_timeout: Option<Duration>,
}

impl PoolSettings {
    /// Returns a builder with these settings, which its `build` checks.
    pub fn builder(&self) -> Builder {
        let mut builder = WorkerPool::builder();
        if let Some(capacity) = self.queue {
            builder = builder.queue(capacity);
        }
        if let Some(on_full) = self.on_full {
            builder = builder.on_full(on_full);
        }
        self.set_threads(builder)
    }

    #[cfg(feature = "std")]
    fn set_threads(&self, mut builder: Builder) -> Builder {
        if let Some(threads) = self.threads {
            builder = builder.threads(threads);
        }
        if let Some(duration) = self.keep_alive {
            builder = builder.keep_alive(duration);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        if let Some(age) = self.max_queue_age {
            builder = builder.max_queue_age(SystemClock, age);
        }
        if let Some(duration) = self.job_timeout {
            builder = builder.job_timeout(SystemClock, duration);
        }
        builder
    }

    #[cfg(not(feature = "std"))]
    #[allow(clippy::unused_self, reason = "with std there are more fields")]
    fn set_threads(&self, builder: Builder) -> Builder {
        builder
    }
}
