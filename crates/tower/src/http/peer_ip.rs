//! The address of a client, as a key that it cannot choose.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str,
};

use http::{HeaderMap, Request};

use crate::keyed::KeyOf;

/// Finds the address of the client that sent a request.
///
/// A client can write what it likes into `X-Forwarded-For`; each proxy appends, on the right, the
/// address from which it was called. So behind `n` proxies of one's own the client is the `n`th
/// entry from the right, and whatever stands left of it is the client's own invention. A request
/// with fewer entries did not come through the proxies: it has no key and is refused.
///
/// An IPv6 address stands for its /64 network, the least that a customer gets. Many get a /56 or a
/// /48, and so 256 or 65,536 keys: [`ipv6_prefix`](Self::ipv6_prefix) makes one of them. An IPv4
/// address within IPv6, mapped or translated by `64:ff9b::/96`, is the IPv4 address.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tidegate_tower::{KeyOf, http::PeerIp};
///
/// let one_proxy = PeerIp::behind(1);
/// let request = Request::builder().header("X-Forwarded-For", "1.1.1.1, 203.0.113.7");
/// let request = request.body(()).unwrap();
/// assert_eq!(one_proxy.key_of(&request), Some("203.0.113.7".parse().unwrap()));
/// assert_eq!(PeerIp::behind(3).key_of(&request), None);
/// ```
///
/// Without a proxy, by what the server knows of the connection:
///
/// ```
/// use std::net::SocketAddr;
/// use axum::extract::ConnectInfo;
/// use tidegate_tower::http::PeerIp;
///
/// let direct = PeerIp::of_connection(|extensions| {
///     extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
/// });
/// ```
#[derive(Clone, Copy)]
pub struct PeerIp {
    source: Source,
    ipv6_prefix: u32,
}

#[derive(Clone, Copy)]
enum Source {
    /// So many proxies are in front.
    Forwarded(usize),
    Connection(fn(&http::Extensions) -> Option<SocketAddr>),
}

impl PeerIp {
    /// Finds it behind `trusted_hops` proxies, each of which appends to `X-Forwarded-For`.
    ///
    /// # Panics
    ///
    /// If `trusted_hops` is 0: then nobody but the client has written the header. Use
    /// [`of_connection`](Self::of_connection).
    #[track_caller]
    pub const fn behind(trusted_hops: usize) -> Self {
        assert!(trusted_hops > 0, "trusted_hops is 0, but must be at least 1");
        Self::by(Source::Forwarded(trusted_hops))
    }

    /// Finds it by what the server has put into the request's extensions.
    pub const fn of_connection(find: fn(&http::Extensions) -> Option<SocketAddr>) -> Self {
        Self::by(Source::Connection(find))
    }

    const fn by(source: Source) -> Self {
        Self { source, ipv6_prefix: 64 }
    }

    /// Makes one key of all IPv6 addresses whose first `bits` bits are equal, instead of 64: 56 or
    /// 48 for what providers give to one customer.
    ///
    /// # Panics
    ///
    /// If `bits` is 0 or above 128.
    #[track_caller]
    pub const fn ipv6_prefix(self, bits: u32) -> Self {
        assert!(0 < bits && bits <= 128, "an IPv6 prefix has 1 to 128 bits");
        Self { ipv6_prefix: bits, ..self }
    }
}

impl<B> KeyOf<Request<B>> for PeerIp {
    type Key = IpAddr;

    #[inline]
    fn key_of(&self, request: &Request<B>) -> Option<IpAddr> {
        let address = match self.source {
            Source::Forwarded(hops) => forwarded(request.headers(), hops)?,
            Source::Connection(find) => match find(request.extensions())? {
                SocketAddr::V4(address) => return Some(IpAddr::V4(*address.ip())),
                SocketAddr::V6(address) => IpAddr::V6(*address.ip()),
            },
        };
        Some(network(address, self.ipv6_prefix))
    }
}

/// Returns the `n`th address from the right, over all of the header's lines.
fn forwarded(headers: &HeaderMap, n: usize) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").into_iter();
    // From the right; the lines are few, and there is no iterator over them from the back that
    // knows their number.
    let mut left = n;
    for line in lines.rev() {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            left -= 1;
            if left == 0 {
                return address(str::from_utf8(entry).ok()?.trim());
            }
        }
    }
    None
}

/// Reads an address, which some proxies write with a port or within brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    bare.parse().or_else(|_| with_port()).ok()
}

fn network(address: IpAddr, ipv6_prefix: u32) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments() {
        return Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)).into();
    }
    Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - ipv6_prefix))).into()
}

impl fmt::Debug for PeerIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Forwarded(hops) => write!(f, "PeerIp::behind({hops})")?,
            Source::Connection(_) => f.write_str("PeerIp::of_connection(..)")?,
        }
        write!(f, ".ipv6_prefix({})", self.ipv6_prefix)
    }
}
