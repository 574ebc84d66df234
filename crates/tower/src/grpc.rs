//! For services of gRPC, made with tonic: refusals as statuses, and outcomes by status.

use core::time::Duration;

use alloc::string::ToString;

use http::{Response, StatusCode};
use tidegate_circuit_breaker::Classifier;
use tidegate_core::Outcome;
use tonic::{Code, Status};

use crate::{error::Refusal, http::HttpRefusal};

/// The trailer by which a server says when to try again, in milliseconds: gRPC's proposal A6.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Returns a refusal as a status: `ResourceExhausted` where this client asked too often,
/// `Unavailable` where the service has too much to do or does not work, `InvalidArgument` where the
/// request has no key. When to come back stands in the metadata `grpc-retry-pushback-ms`, rounded
/// up, 2,147,483,647 at most.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::Refused;
/// use tidegate_tower::{Refusal, grpc};
///
/// let refused = Refused::NotNow {
///     retry_after: Duration::from_micros(1_200_001),
///     reset_after: Duration::from_secs(60),
///     limit: 100,
/// };
/// let status = grpc::status(&Refusal::Refused(refused));
/// assert_eq!(status.code(), tonic::Code::ResourceExhausted);
/// assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1201");
/// ```
pub fn status<R: HttpRefusal + core::fmt::Display>(refusal: &Refusal<R>) -> Status {
    let code = match refusal.status() {
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        _ => Code::Unavailable,
    };
    let mut status = Status::new(code, refusal.to_string());
    if let Some(after) = refusal.retry_after() {
        status.metadata_mut().insert(PUSHBACK, millis_rounded_up(after).into());
    }
    status
}

/// Clients read 32 bits with a sign, and come back no more if there are too many.
fn millis_rounded_up(duration: Duration) -> i32 {
    duration.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX)
}

/// Makes a response of a refusal: [`status`], as a server of tonic sends it. For
/// [`GateLayer::respond_with`](crate::GateLayer::respond_with).
pub fn respond<R, B>(refusal: Refusal<R>) -> Response<B>
where
    R: HttpRefusal + core::fmt::Display,
    B: Default,
{
    status(&refusal).into_http()
}

/// Classifies by the status at the head of a response: `Unavailable`, `ResourceExhausted`,
/// `DeadlineExceeded`, `Internal`, `Unknown` and `DataLoss` are the server's failures; others but
/// `Ok` are the caller's own affair, and ignored. A status that comes in the trailers, after a
/// message, is not seen; a response without one at its head is a success.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByGrpcStatus;

impl<B, E> Classifier<Result<Response<B>, E>> for ByGrpcStatus {
    fn outcome(&self, result: &Result<Response<B>, E>) -> Outcome {
        let Ok(response) = result else { return Outcome::Failure };
        if response.status().is_server_error() {
            return Outcome::Failure;
        }
        let code = response.headers().get("grpc-status");
        match code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes())) {
            Code::Ok => Outcome::Success,
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unknown
            | Code::DataLoss => Outcome::Failure,
            _ => Outcome::Ignored,
        }
    }
}
