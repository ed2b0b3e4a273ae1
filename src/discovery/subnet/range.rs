//! The addresses that a scan goes through.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The most addresses of one scan: an IPv4 /16, an IPv6 /112.
pub const MAX_ADDRESSES: u64 = 1 << 16;

/// A range of addresses, in CIDR notation (RFC 4632, RFC 4291 section 2.3): `10.0.0.0/24`.
///
/// An address alone is a range of one. Bits after the prefix do not matter: `10.0.0.7/24` is `10.0.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr(IpNet);

impl Cidr {
    /// The addresses that hosts can have: of an IPv4 network not the first, which names it, and the last, which
    /// is for broadcasts, unless there are only one or two.
    pub fn hosts(&self) -> impl Iterator<Item = IpAddr> + Send + use<> {
        self.0.hosts()
    }

    /// How many [`hosts`](Self::hosts) there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        let all = size(&self.0);
        match self.0 {
            IpNet::V4(_) if all > 2 => all - 2,
            _ => all,
        }
    }

    /// Never: a range has at least one address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// All addresses of a network, [`u64::MAX`] if there are more.
fn size(net: &IpNet) -> u64 {
    1u64.checked_shl(u32::from(net.max_prefix_len() - net.prefix_len()))
        .unwrap_or(u64::MAX)
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let text = text.trim();
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| InvalidCidr::NoCidr)?,
        };
        // IPv4-mapped IPv6 addresses (RFC 4291, section 2.5.5.2) are IPv4 addresses.
        let net = match (net.addr().to_canonical(), net.prefix_len().checked_sub(96)) {
            (IpAddr::V4(v4), Some(prefix)) if net.addr().is_ipv6() => {
                IpNet::new(v4.into(), prefix).map_err(|_| InvalidCidr::NoCidr)?
            }
            _ => net,
        };
        let net = net.trunc();
        if net.addr().is_multicast() {
            return Err(InvalidCidr::Multicast);
        }
        if size(&net) > MAX_ADDRESSES {
            return Err(match net {
                IpNet::V4(_) => InvalidCidr::TooLarge {
                    addresses: size(&net),
                },
                IpNet::V6(_) => InvalidCidr::TooLargeV6 {
                    bits: net.max_prefix_len() - net.prefix_len(),
                },
            });
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no range that can be scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCidr {
    /// It has another form.
    #[error("a range has the form 10.0.0.0/24")]
    NoCidr,
    /// No host has an address there.
    #[error("these are multicast addresses, which no host has")]
    Multicast,
    /// It is too large.
    #[error(
        "it has {addresses} addresses, and a scan takes at most {MAX_ADDRESSES}, a /16; name the subnets that hold nodes"
    )]
    TooLarge {
        /// How many addresses it has.
        addresses: u64,
    },
    /// It is too large, as almost every IPv6 network is.
    #[error(
        "it has 2^{bits} addresses, and a scan takes at most {MAX_ADDRESSES}, a /112; in an IPv6 network nodes \
         are found by dns or multicast, not by trying addresses"
    )]
    TooLargeV6 {
        /// The bits that are not in the prefix.
        bits: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_hosts() {
        for (text, first, last, len) in [
            ("10.0.0.0/24", "10.0.0.1", "10.0.0.254", 254),
            ("10.0.0.7/24", "10.0.0.1", "10.0.0.254", 254),
            ("10.1.0.0/16", "10.1.0.1", "10.1.255.254", 65_534),
            ("10.0.0.4/31", "10.0.0.4", "10.0.0.5", 2),
            ("10.0.0.7", "10.0.0.7", "10.0.0.7", 1),
            ("10.0.0.7/32", "10.0.0.7", "10.0.0.7", 1),
            ("fdaa::7", "fdaa::7", "fdaa::7", 1),
            ("::ffff:10.0.0.7", "10.0.0.7", "10.0.0.7", 1),
            ("::ffff:10.0.0.0/126", "10.0.0.1", "10.0.0.2", 2),
            ("fdaa::/112", "fdaa::", "fdaa::ffff", 65_536),
        ] {
            let cidr: Cidr = text.parse().unwrap();
            let hosts: Vec<_> = cidr.hosts().collect();
            assert_eq!(hosts.first().unwrap().to_string(), first);
            assert_eq!(hosts.last().unwrap().to_string(), last);
            assert_eq!((hosts.len() as u64, cidr.len()), (len, len), "{text}");
        }
    }

    #[test]
    fn what_is_no_range_or_too_large_is_refused() {
        for (text, part) in [
            ("", "10.0.0.0/24"),
            ("10.0.0.0/33", "10.0.0.0/24"),
            ("10.0.0/24", "10.0.0.0/24"),
            ("box", "10.0.0.0/24"),
            ("10.0.0.0/8", "16777216 addresses"),
            ("0.0.0.0/0", "4294967296 addresses"),
            ("10.0.0.0/15", "a /16"),
            ("fdaa::/64", "2^64 addresses"),
            ("fdaa::/111", "2^17 addresses"),
            ("::/0", "dns or multicast"),
            ("239.0.0.0/24", "multicast"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
