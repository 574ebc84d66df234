//! Quotas of well-known services, as their public pages state them.
//!
//! Each constant names the page, and when the page was last known to state the limit. Services
//! change their limits, and grant some customers other limits: check the page, and the headers of
//! the answers ([`Limiter::penalize_until`] for `Retry-After`, [`RateLimiter::set_quota`] for
//! another limit).
//!
//! By a limit *per day*, most services mean a fixed window between two midnights. [`within`]
//! creates a quota that stays below the limit wherever the window begins.
//!
//! [`Limiter::penalize_until`]: crate::Limiter::penalize_until
//! [`RateLimiter::set_quota`]: crate::RateLimiter::set_quota
//!
//! # Examples
//!
//! ```
//! use tidegate_rate_limiter::{Limits, RateLimiter, presets};
//!
//! static GITHUB: RateLimiter =
//!     RateLimiter::new(presets::GITHUB_REST_AUTHENTICATED);
//! assert!(GITHUB.try_acquire(1).is_ok());
//!
//! // A search costs 100 units, reading a list 1.
//! let youtube = RateLimiter::new(presets::YOUTUBE_DATA_API);
//! assert!(youtube.try_acquire(100).is_ok());
//!
//! let demo = Limits::new(presets::NASA_DEMO_KEY);
//! assert!(demo.try_acquire(1).is_ok());
//! ```

use core::time::Duration;

use crate::quota::{Quota, QuotaError};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Creates a quota with which no interval as long as `period` sees more than `limit` tokens, of
/// which at most `burst` are granted at once.
///
/// A token bucket admits `rate·t + burst`, so the burst is subtracted from the rate: a larger burst
/// means a lower rate.
///
/// # Errors
///
/// [`QuotaError`] where [`Quota::try_per`] returns it for `limit - burst` tokens, or
/// [`Quota::try_burst`] for `burst`. If `limit` is not above `burst`, the error names `limit`.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_rate_limiter::{RateLimiter, Timestamp, presets};
///
/// let quota = presets::within(5000, Duration::from_secs(3600), 100)?;
/// assert_eq!((quota.tokens(), quota.max_burst()), (4900, 100));
/// # Ok::<(), tidegate_rate_limiter::QuotaError>(())
/// ```
pub const fn within(limit: u32, period: Duration, burst: u32) -> Result<Quota, QuotaError> {
    match Quota::named(["limit", "period"], limit, burst, period) {
        Ok(quota) => quota.try_burst(burst),
        Err(error) => Err(error),
    }
}

/// YouTube Data API v3: 10 000 units per day and project. A search costs 100 units, most reads cost
/// 1, most writes 50.
///
/// <https://developers.google.com/youtube/v3/determine_quota_cost>, as known in mid-2025.
pub const YOUTUBE_DATA_API: Quota = Quota::expect(within(10_000, DAY, 1000));

/// GitHub's REST API with a token: 5000 requests an hour.
///
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>, as known in
/// mid-2025. There are secondary limits, too: 100 concurrent requests, and 900 points a minute.
pub const GITHUB_REST_AUTHENTICATED: Quota = Quota::expect(within(5000, HOUR, 100));

/// GitHub's REST API without a token: 60 requests per hour and address. The page is that of
/// `GITHUB_REST_AUTHENTICATED`.
pub const GITHUB_REST_UNAUTHENTICATED: Quota = Quota::expect(within(60, HOUR, 10));

/// Gemini API, free tier, 2.5 Flash: 10 requests a minute, and 250 a day, per project.
///
/// <https://ai.google.dev/gemini-api/docs/rate-limits>, as stated until autumn 2025. The free tier
/// was cut in December 2025, and only the owner of a project sees its limits: secondary sources of
/// 2026 name 20 to 500 a day. Check yours.
pub const GEMINI_FREE_FLASH: [Quota; 2] =
    [Quota::expect(within(10, MINUTE, 2)), Quota::expect(within(250, DAY, 10))];

/// Gemini API, first paid tier, 2.5 Flash: 1000 requests a minute, and 10 000 a day, per project.
///
/// The page is that of `GEMINI_FREE_FLASH`, as stated until autumn 2025.
pub const GEMINI_TIER_1_FLASH: [Quota; 2] =
    [Quota::expect(within(1000, MINUTE, 50)), Quota::expect(within(10_000, DAY, 500))];

/// NASA's open APIs with a key: 1000 requests an hour.
///
/// <https://api.nasa.gov>, as known in mid-2025.
pub const NASA: Quota = Quota::expect(within(1000, HOUR, 50));

/// NASA's open APIs with `DEMO_KEY`: 30 requests an hour, and 50 a day, per address. The page is
/// that of `NASA`.
pub const NASA_DEMO_KEY: [Quota; 2] =
    [Quota::expect(within(30, HOUR, 5)), Quota::expect(within(50, DAY, 5))];

/// NCBI's E-utilities without a key: 3 requests a second.
///
/// <https://www.ncbi.nlm.nih.gov/books/NBK25497/>, as known in mid-2025.
pub const NCBI_EUTILS: Quota = Quota::expect(within(3, Duration::from_secs(1), 1));

/// NCBI's E-utilities with a key: 10 requests a second. The page is that of `NCBI_EUTILS`.
pub const NCBI_EUTILS_WITH_KEY: Quota = Quota::expect(within(10, Duration::from_secs(1), 2));

/// SEC's EDGAR: 10 requests a second.
///
/// <https://www.sec.gov/os/accessing-edgar-data>, as known in mid-2025.
pub const SEC_EDGAR: Quota = Quota::expect(within(10, Duration::from_secs(1), 2));

/// The public Nominatim of OpenStreetMap: at most 1 request a second.
///
/// <https://operations.osmfoundation.org/policies/nominatim/>, as known in mid-2025.
pub const NOMINATIM: Quota = Quota::every(Duration::from_secs(1));

/// The API of crates.io: 1 request a second, with a user agent that names the client.
///
/// <https://crates.io/data-access>, as known in mid-2025.
pub const CRATES_IO: Quota = Quota::every(Duration::from_secs(1));
