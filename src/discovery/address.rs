//! Hosts that are addresses, in the one form in which they stand in node names.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// A host without the brackets that an IPv6 address may have around it, and the IPv4 address in place of an
/// IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2): `::ffff:10.0.0.7` is the host `10.0.0.7`. Anything else
/// stays as it is.
pub(super) fn plain(host: &str) -> Cow<'_, str> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let bare = bare.filter(|bare| bare.contains(':')).unwrap_or(host);
    match bare.parse::<Ipv6Addr>().map(|v6| v6.to_canonical()) {
        Ok(IpAddr::V4(v4)) => v4.to_string().into(),
        _ => bare.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_one_address() {
        for (given, expected) in [
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("[::ffff:a00:7]", "10.0.0.7"),
            ("[fdaa::7]", "fdaa::7"),
            ("fdaa::7", "fdaa::7"),
            ("10.0.0.7", "10.0.0.7"),
            ("web-0.test", "web-0.test"),
            ("[web]", "[web]"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ] {
            assert_eq!(plain(given), expected);
        }
    }
}
