//! What a refusal says to a client of HTTP.

use core::{convert::Infallible, time::Duration};

use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use tidegate_core::{Closed, gate::PairRefused};
use tidegate_rate_limiter::secs_rounded_up;

use super::headers::{Allowance, write_standard};
use crate::{error::Refusal, keyed::KeyedRefused};

/// What a refusal says to a client: a status, when to come back, and what is left of its limit.
pub trait HttpRefusal {
    /// Returns the status: 429 where this client asked too often, 503 where the service has too
    /// much to do or does not work, 400 where the request has no key.
    fn status(&self) -> StatusCode;

    /// Returns after how long it makes sense to try again, if that is known.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Returns what is left of the limit that refused, if there is one.
    fn allowance(&self) -> Option<Allowance> {
        None
    }
}

impl HttpRefusal for tidegate_rate_limiter::Refused {
    fn status(&self) -> StatusCode {
        StatusCode::TOO_MANY_REQUESTS
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after().filter(|after| *after != Duration::MAX)
    }

    fn allowance(&self) -> Option<Allowance> {
        let reset_after = self.reset_after().filter(|after| *after != Duration::MAX)?;
        Some(Allowance { limit: self.limit(), remaining: 0, reset_after })
    }
}

impl HttpRefusal for tidegate_circuit_breaker::Refused {
    fn status(&self) -> StatusCode {
        StatusCode::SERVICE_UNAVAILABLE
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

macro_rules! unavailable {
    ($($refused:ty),*) => {$(
        impl HttpRefusal for $refused {
            fn status(&self) -> StatusCode {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    )*};
}

unavailable!(tidegate_semaphore::AcquireError, tidegate_semaphore::TryAcquireError, Closed);

impl HttpRefusal for Infallible {
    fn status(&self) -> StatusCode {
        match *self {}
    }
}

impl<A: HttpRefusal, B: HttpRefusal> HttpRefusal for PairRefused<A, B> {
    fn status(&self) -> StatusCode {
        match self {
            Self::First(refused) => refused.status(),
            Self::Second(refused) => refused.status(),
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::First(refused) => refused.retry_after(),
            Self::Second(refused) => refused.retry_after(),
            _ => None,
        }
    }

    fn allowance(&self) -> Option<Allowance> {
        match self {
            Self::First(refused) => refused.allowance(),
            Self::Second(refused) => refused.allowance(),
            _ => None,
        }
    }
}

impl<R: HttpRefusal> HttpRefusal for KeyedRefused<R> {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoKey => StatusCode::BAD_REQUEST,
            // The keys of all clients together are too many, which is not this client's fault.
            Self::TooManyKeys => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(refused) => refused.status(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after(),
            Self::NoKey | Self::TooManyKeys => None,
        }
    }

    fn allowance(&self) -> Option<Allowance> {
        match self {
            Self::Refused(refused) => refused.allowance(),
            Self::NoKey | Self::TooManyKeys => None,
        }
    }
}

/// A wait that was too long says that the service has too much to do.
impl<R: HttpRefusal> HttpRefusal for Refusal<R> {
    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refused) => refused.status(),
            Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refused) => refused.retry_after(),
            Self::TimedOut => None,
        }
    }

    fn allowance(&self) -> Option<Allowance> {
        match self {
            Self::Refused(refused) => refused.allowance(),
            Self::TimedOut => None,
        }
    }
}

/// Makes an empty response of a refusal: its status, `Retry-After` in whole seconds rounded up (a
/// client that comes earlier would be refused again), and the headers `RateLimit` and
/// `RateLimit-Policy` if the refusal has an [allowance](HttpRefusal::allowance).
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use http::Response;
/// use tidegate_tower::{Refusal, http::{HttpRefusal, respond}};
/// use tidegate_rate_limiter::Refused;
///
/// let refused = Refused::NotNow {
///     retry_after: Duration::from_millis(1200),
///     reset_after: Duration::from_secs(60),
///     limit: 100,
/// };
/// let response: Response<String> = respond(Refusal::Refused(refused));
/// assert_eq!(response.status(), 429);
/// assert_eq!(response.headers()["retry-after"], "2");
/// assert_eq!(response.headers()["ratelimit"], "\"default\";r=0;t=60");
/// assert_eq!(response.headers()["ratelimit-policy"], "\"default\";q=100");
/// ```
pub fn respond<R: HttpRefusal, B: Default>(refusal: Refusal<R>) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = refusal.status();
    if let Some(retry_after) = refusal.retry_after() {
        let secs = HeaderValue::from(secs_rounded_up(retry_after));
        response.headers_mut().insert(RETRY_AFTER, secs);
    }
    if let Some(allowance) = refusal.allowance() {
        write_standard(response.headers_mut(), &allowance);
    }
    response
}
