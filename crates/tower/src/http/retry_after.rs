//! How long a server wants to be left alone, told to the breaker.

use core::{str, time::Duration};

use http::{
    HeaderMap, HeaderName, Response,
    header::{DATE, RETRY_AFTER},
};
use tidegate_circuit_breaker::{Observer, OwnedPass};
use tidegate_core::{
    Clock, Outcome, Pass,
    gate::{Ending, Guarded},
};

use crate::settle::{ClassifyCall, Settle};

/// A pass that can open its gate for a time that the server has chosen.
pub trait OpensFor: Pass {
    /// Settles as a failure; if the gate is a breaker, it opens for `duration`.
    fn failure_open_for(self, duration: Duration);
}

impl<C: Clock, O: Observer, J> OpensFor for OwnedPass<C, O, J> {
    fn failure_open_for(self, duration: Duration) {
        Self::failure_open_for(self, duration);
    }
}

/// A breaker at the head of a row.
impl<C: Clock, O: Observer, J, P: Pass> OpensFor for (OwnedPass<C, O, J>, P)
where
    Self: Pass,
{
    fn failure_open_for(self, duration: Duration) {
        let (breaker, rest) = self;
        // Whatever the one does, the other is settled.
        let rest = Guarded::new(rest, Ending::Settle(Outcome::Failure));
        breaker.failure_open_for(duration);
        drop(rest);
    }
}

/// Settles as `S` would, and a failure whose response says `Retry-After` opens the breaker for that
/// time: [`GateLayer::heed_retry_after`](crate::GateLayer::heed_retry_after).
#[derive(Debug, Clone, Copy)]
pub struct HeedRetryAfter<S> {
    pub(crate) settle: S,
    pub(crate) at_most: Duration,
}

impl<P, B, E, S> Settle<P, Response<B>, E> for HeedRetryAfter<S>
where
    P: OpensFor,
    S: ClassifyCall<P, Result<Response<B>, E>>,
{
    type Response = Response<B>;

    fn settle(&self, pass: P, result: Result<Response<B>, E>) -> Result<Response<B>, E> {
        let asked = result.as_ref().ok().and_then(|response| retry_after(response.headers()));
        let pass = Guarded::new(pass, Ending::Settle(Outcome::Failure));
        match asked {
            Some(time) if self.settle.outcome(pass.pass(), &result) == Outcome::Failure => {
                pass.into_pass().failure_open_for(time.min(self.at_most));
            }
            _ => self.settle.settle_by(pass.into_pass(), &result),
        }
        result
    }
}

/// Reads `Retry-After`: seconds, or a date, which counts from the response's own `Date`, so that
/// the clocks of server and client need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let after = text(RETRY_AFTER)?.trim();
    let secs = if after.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number that is too large fails.
        if after.is_empty() { 0 } else { after.parse().unwrap_or(u64::MAX) }
    } else {
        seconds(after)?.checked_sub(seconds(text(DATE)?)?)?
    };
    (secs > 0).then(|| Duration::from_secs(secs))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Returns the seconds of a date since the first of March of the year 0. It has one of the three
/// forms of RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` or
/// `Sun Nov  6 08:49:37 1994`.
fn seconds(date: &str) -> Option<u64> {
    let mut parts = date.split([' ', ',', '-']).filter(|part| !part.is_empty()).skip(1);
    let mut part = || parts.next();
    let (first, second, third, fourth) = (part()?, part()?, part()?, part()?);
    let (day, name, year, clock) = match part() {
        Some("GMT") => (first, second, third, fourth),
        None => (second, first, fourth, third),
        Some(_) => return None,
    };
    let day: u64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64;
    let year = match year.parse().ok()? {
        year @ 1970..=9999 => year,
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        _ => return None,
    };
    let mut clock = clock.split(':').map(|digits| digits.parse::<u64>().ok());
    let mut number = |below| clock.next().flatten().filter(|number| *number < below);
    let (hours, minutes, secs) = (number(24)?, number(60)?, number(61)?);
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some(((days * 24 + hours) * 60 + minutes) * 60 + secs)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn dates_count_as_the_calendar_does() {
        let secs = |date| seconds(date).unwrap();
        let day = |date| secs(date) / 86_400;
        let first = "Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(secs("Sun, 06 Nov 1994 08:49:37 GMT") - secs(first), 784_111_777);
        assert_eq!(day("Sat, 01 Mar 2025 00:00:00 GMT") - day("Fri, 28 Feb 2025 23:59:59 GMT"), 1);
        assert_eq!(day("Fri, 01 Mar 2024 00:00:00 GMT") - day("Wed, 28 Feb 2024 00:00:00 GMT"), 2);
        assert_eq!(day("Wed, 01 Jan 2025 00:00:00 GMT") - day("Tue, 31 Dec 2024 00:00:00 GMT"), 1);
        for wrong in ["", "soon", "Sun, 06 Now 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:61:37 GMT"]
        {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_date_may_have_an_obsolete_form() {
        let date = seconds("Sun, 06 Nov 1994 08:49:37 GMT");
        assert!(date.is_some());
        for obsolete in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(seconds(obsolete), date, "{obsolete}");
        }
        let later = "Friday, 06-Nov-26 08:49:37 GMT";
        assert_eq!(seconds(later), seconds("Fri, 06 Nov 2026 08:49:37 GMT"));
    }

    #[test]
    fn a_time_is_read_as_seconds_or_as_a_date_after_the_responses_own() {
        let (now, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:51:37 GMT");
        for (pairs, secs) in [
            (&[(RETRY_AFTER, "120")][..], Some(120)),
            (&[(RETRY_AFTER, "0")], None),
            (&[(RETRY_AFTER, "99999999999999999999")], Some(u64::MAX)),
            (&[(RETRY_AFTER, "")], None),
            (&[(RETRY_AFTER, later), (DATE, now)], Some(120)),
            (&[(RETRY_AFTER, now), (DATE, later)], None),
            (&[(RETRY_AFTER, later)], None),
            (&[(RETRY_AFTER, "-1")], None),
            (&[], None),
        ] {
            assert_eq!(retry_after(&headers(pairs)), secs.map(Duration::from_secs), "{pairs:?}");
        }
    }
}
