//! Waiting for the tokens of one key.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tidegate_concurrent_map::TooManyKeys;
use tidegate_core::{Timer, primitive::Arc};

use super::{Bucket, KeyRefused};
use crate::{acquire::Waiting, cell::Shared, grant::Grant, token_bucket::TokenBucket};

pin_project! {
    /// Future of [`KeyedLimiter::acquire`](crate::KeyedLimiter::acquire).
    #[must_use = "futures do nothing unless awaited or waited for"]
    pub struct AcquireKey<'a, C>
    where
        C: Timer,
    {
        // `None` if there was no place for the key.
        #[pin]
        waiting: Option<Waiting<'a, TokenBucket, C, Arc<Bucket>>>,
        too_many_keys: Option<TooManyKeys>,
    }
}

impl<'a, C: Timer> AcquireKey<'a, C> {
    pub(super) fn new(
        shared: &'a Shared<TokenBucket, C>,
        bucket: Result<Arc<Bucket>, TooManyKeys>,
        n: u32,
    ) -> Self {
        match bucket {
            Ok(bucket) => {
                Self { waiting: Some(Waiting::new(shared, bucket, n)), too_many_keys: None }
            }
            Err(error) => Self { waiting: None, too_many_keys: Some(error) },
        }
    }

    /// Refuses as soon as it is clear that the tokens cannot be had within `duration` from this call; see
    /// [`Acquire::or_refuse_after`](crate::Acquire::or_refuse_after).
    pub fn or_refuse_after(self, duration: Duration) -> Self {
        Self { waiting: self.waiting.map(|waiting| waiting.or_refuse_after(duration)), ..self }
    }
}

impl<C: Timer> Future for AcquireKey<'_, C> {
    type Output = Result<Grant, KeyRefused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.waiting.as_pin_mut(), *this.too_many_keys) {
            (Some(waiting), _) => waiting.poll(cx).map_err(KeyRefused::Refused),
            (None, Some(error)) => Poll::Ready(Err(error.into())),
            (None, None) => unreachable!("made with one of the two"),
        }
    }
}

impl<C: Timer> fmt::Debug for AcquireKey<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcquireKey").field(&self.waiting).finish()
    }
}
