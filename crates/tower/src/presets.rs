//! The usual gates, made by the layer itself.

use tidegate_core::primitive::Arc;

use tidegate_circuit_breaker::{Breaker, Observer, OwnedFailFast};
use tidegate_core::Clock;
use tidegate_semaphore::Semaphore;
#[cfg(feature = "std")]
use {
    core::ops::RangeInclusive,
    tidegate_core::BuildError,
    tidegate_semaphore::adaptive::{AdaptiveSemaphore, Gradient2},
};

use crate::layer::GateLayer;

impl GateLayer<Arc<Semaphore>> {
    /// Creates a layer that lets `max` calls through at once, over all clones of its services. The
    /// others wait, unless the layer is told to [refuse](Self::refuse) them.
    ///
    /// # Panics
    ///
    /// If `max` is above [`MAX_PERMITS`](tidegate_semaphore::MAX_PERMITS).
    #[track_caller]
    pub fn concurrency(max: usize) -> Self {
        Self::new(Arc::new(Semaphore::new(max)))
    }
}

#[cfg(feature = "std")]
impl GateLayer<Arc<tidegate_rate_limiter::RateLimiter>> {
    /// Creates a layer that lets as many calls through as `quota` says, over all clones of its
    /// services. The others wait, unless the layer is told to [refuse](Self::refuse) them.
    pub fn rate_limit(quota: tidegate_rate_limiter::Quota) -> Self {
        Self::new(Arc::new(tidegate_rate_limiter::RateLimiter::new(quota)))
    }
}

#[cfg(feature = "std")]
impl GateLayer<Arc<AdaptiveSemaphore<Gradient2>>> {
    /// Creates a layer that lets at most `range.end()` calls through at once, and fewer where the
    /// service becomes slow: an adaptive limit by [`Gradient2`], which begins at `range.start()`.
    /// The others wait, unless the layer is told to [refuse](Self::refuse) them.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the range is empty, begins with 0 or ends above
    /// [`MAX_PERMITS`](tidegate_semaphore::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate_tower::GateLayer;
    ///
    /// let layer = GateLayer::adaptive(10..=500)?.refuse();
    /// # Ok::<(), tidegate_core::BuildError>(())
    /// ```
    pub fn adaptive(range: RangeInclusive<usize>) -> Result<Self, BuildError> {
        let (min, max) = range.into_inner();
        let builder = AdaptiveSemaphore::builder(Gradient2::new());
        Ok(Self::new(Arc::new(builder.min(min).initial(min).max(max).build()?)))
    }
}

impl<C, O, J> GateLayer<OwnedFailFast<C, O, J>>
where
    C: Clock,
    O: Observer,
{
    /// Creates a layer that fails fast while `breaker` is open, and settles by the breaker's own
    /// classifier.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{io, sync::Arc};
    /// use tidegate_circuit_breaker::{Breaker, TripRule};
    /// use tidegate_tower::{GateError, GateLayer};
    /// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # smol::block_on(async {
    /// let breaker = Breaker::builder().trip_on(TripRule::consecutive(1)).build()?;
    /// let mut service = ServiceBuilder::new()
    ///     .layer(GateLayer::breaker(Arc::new(breaker)))
    ///     .service(service_fn(|()| async { Err::<(), _>(io::Error::other("down")) }));
    /// let failed = service.ready().await?.call(()).await;
    /// assert!(matches!(failed, Err(GateError::Inner(_))));
    /// let refused = service.ready().await?.call(()).await;
    /// assert!(matches!(refused, Err(GateError::Refused(_))));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn breaker(breaker: Arc<Breaker<C, O, J>>) -> Self {
        Self::new(OwnedFailFast::from(breaker))
    }
}
