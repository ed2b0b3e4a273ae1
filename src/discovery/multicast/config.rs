//! What the multicast provider can be told.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use super::codec::Key;
use crate::discovery::Context;
use crate::secret::Secret;

/// The IPv4 group of native announcements, in the local scope of RFC 2365: routers that know scopes
/// keep it inside the site. The dialects of other libraries have groups of their own (libcluster
/// 233.252.1.32, Peerage 230.1.1.1), so that no one is sent what they cannot read.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 82, 68);

/// The IPv6 group of native announcements: link-local scope, not assigned by IANA (the T flag of
/// RFC 4291), its group id from the dynamic range of RFC 3307.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0xd24e, 0x445a);

/// The UDP port of native announcements. Not libcluster's (45892) or Peerage's (45900): a socket of
/// theirs on the same port can be handed our datagrams too.
pub const PORT: u16 = 45_911;

/// How announcements are sent and what is listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticastConfig {
    /// The multicast groups, IPv4 and IPv6: all are announced to and listened to.
    /// Default: [`GROUP_V4`] and [`GROUP_V6`].
    pub multicast_addr: Vec<IpAddr>,
    /// The UDP port. Default: [`PORT`].
    pub port: u16,
    /// The interfaces to use; empty, the default, means every one that is up and can multicast, the
    /// loopback among them. A node whose own host is a loopback address uses the loopback alone.
    pub interface: Vec<InterfaceChoice>,
    /// How many routers an announcement may pass, plus one (the IPv4 TTL, the IPv6 hop limit).
    /// Default: 1, which stays on the link.
    pub ttl: u8,
    /// What authenticates announcements; `None`, the default, means the cookie. Every node of the
    /// cluster has to have the same. Not empty.
    pub secret: Option<Secret>,
    /// Keeps clusters apart that share groups, port and secret. `None`, the default, is a cluster
    /// without a name.
    pub cluster: Option<String>,
    /// The time between two announcements of a node in a small group, at least 0.1 s; it grows with the
    /// group. Default: 5 s.
    pub interval: Duration,
}

impl Default for MulticastConfig {
    fn default() -> Self {
        Self {
            multicast_addr: vec![GROUP_V4.into(), GROUP_V6.into()],
            port: PORT,
            interface: Vec::new(),
            ttl: 1,
            secret: None,
            cluster: None,
            interval: Duration::from_secs(5),
        }
    }
}

impl MulticastConfig {
    /// Checks everything that can be checked without a socket, and derives the key.
    ///
    /// # Errors
    /// [`InvalidMulticast`], for the first option that is off.
    pub fn check(&self, context: &Context) -> Result<Key, InvalidMulticast> {
        if self.multicast_addr.is_empty() {
            return Err(InvalidMulticast::NoGroup);
        }
        if let Some(&addr) = self.multicast_addr.iter().find(|a| !a.is_multicast()) {
            return Err(InvalidMulticast::NotMulticast(addr));
        }
        if self.port == 0 {
            return Err(InvalidMulticast::NoPort);
        }
        if self.ttl == 0 {
            return Err(InvalidMulticast::NoTtl);
        }
        if self.interval < Duration::from_millis(100) || self.interval > Duration::from_secs(3600) {
            return Err(InvalidMulticast::Interval(self.interval));
        }
        let secret = self
            .secret
            .as_ref()
            .or(context.cookie.as_ref())
            .filter(|secret| !secret.expose().is_empty())
            .ok_or(InvalidMulticast::NoSecret)?;
        Ok(Key::derive(secret, self.cluster.as_deref().unwrap_or("")))
    }
}

/// Why a multicast provider cannot be made of a configuration: the option and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMulticast {
    /// There is neither a secret nor a cookie, or it is empty.
    #[error(
        "multicast announcements are always authenticated, and there is no secret (none set, or an empty one) \
         and no cookie to take instead: set `secret`, the same on every node of the cluster, or give the \
         node a cookie"
    )]
    NoSecret,
    /// There is no group to announce to.
    #[error(
        "`multicast_addr` is empty; leave it out for {GROUP_V4} and {GROUP_V6}, or name a group"
    )]
    NoGroup,
    /// An address that is no multicast group.
    #[error(
        "`multicast_addr`: {0} is no multicast address; those are 224.0.0.0 to 239.255.255.255 and ff00::/8, \
         for one of your own take one of 239.255.0.0/16 or ff12::/16"
    )]
    NotMulticast(IpAddr),
    /// Port 0.
    #[error("`port` is 0; every node has to use the same one, from 1 to 65535 (default {PORT})")]
    NoPort,
    /// TTL 0.
    #[error("`ttl` is 0, which leaves no host; 1 stays on the link, more passes routers")]
    NoTtl,
    /// An interval out of bounds.
    #[error("`interval` is {0:?}; it can be from 0.1 s to 1 hour (default 5 s)")]
    Interval(Duration),
}

/// An interface, by its name or by an address that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceChoice {
    /// By name: `eth0`. For groups of both families.
    Name(String),
    /// By an address: `127.0.0.1`. For groups of the address's family only.
    Addr(IpAddr),
}

impl FromStr for InterfaceChoice {
    type Err = InvalidInterface;

    fn from_str(text: &str) -> Result<Self, InvalidInterface> {
        if let Ok(addr) = text.parse::<IpAddr>() {
            return if addr.is_multicast() || addr.is_unspecified() {
                Err(InvalidInterface::NotAnInterface(addr))
            } else {
                Ok(Self::Addr(addr))
            };
        }
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(InvalidInterface::NotAName(text.to_owned()));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for InterfaceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.pad(name),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

/// Why a text names no interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInterface {
    /// Neither an address nor a name.
    #[error("{0:?} names no interface; take a name such as `eth0` or an address that it has")]
    NotAName(String),
    /// An address that no interface can have.
    #[error("{0} is no interface's address; take one that it has, or its name")]
    NotAnInterface(IpAddr),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(cookie: Option<&str>) -> Context {
        Context {
            own: None,
            cookie: cookie.map(Secret::new),
        }
    }

    #[test]
    fn without_a_secret_nothing_starts() {
        let config = MulticastConfig::default();
        for cookie in [None, Some("")] {
            let error = config.check(&context(cookie)).unwrap_err();
            assert_eq!(error, InvalidMulticast::NoSecret);
        }
        config.check(&context(Some("monster"))).unwrap();
        let own = MulticastConfig {
            secret: Some(Secret::new("s")),
            ..config
        };
        own.check(&context(None)).unwrap();
    }

    #[test]
    fn an_empty_secret_does_not_fall_back_to_the_cookie() {
        let config = MulticastConfig {
            secret: Some(Secret::new("")),
            ..MulticastConfig::default()
        };
        assert_eq!(
            config.check(&context(Some("monster"))).unwrap_err(),
            InvalidMulticast::NoSecret
        );
    }

    #[test]
    fn each_option_that_is_off_is_named() {
        type Change = fn(&mut MulticastConfig);
        let changes: [(&str, Change); 5] = [
            ("`multicast_addr`", |c| c.multicast_addr.clear()),
            ("10.0.0.1", |c| {
                c.multicast_addr = vec![Ipv4Addr::new(10, 0, 0, 1).into()];
            }),
            ("`port`", |c| c.port = 0),
            ("`ttl`", |c| c.ttl = 0),
            ("`interval`", |c| c.interval = Duration::ZERO),
        ];
        for (names, change) in changes {
            let mut config = MulticastConfig::default();
            change(&mut config);
            let error = config.check(&context(Some("monster"))).unwrap_err();
            assert!(error.to_string().contains(names), "{error}");
        }
    }

    #[test]
    fn the_default_groups_are_of_the_scopes_claimed() {
        assert_eq!(GROUP_V4.octets()[..2], [239, 255]);
        assert_eq!(GROUP_V6.segments()[0], 0xff12);
        assert!(GROUP_V6.segments()[6] & 0x8000 != 0);
    }

    #[test]
    fn interfaces_by_name_and_by_address() {
        for (text, choice) in [
            ("eth0", InterfaceChoice::Name("eth0".into())),
            ("127.0.0.1", InterfaceChoice::Addr([127, 0, 0, 1].into())),
            ("::1", InterfaceChoice::Addr(Ipv6Addr::LOCALHOST.into())),
        ] {
            assert_eq!(text.parse(), Ok(choice));
        }
        for text in ["", "a b", "eth/0", "0.0.0.0", "239.255.82.68"] {
            assert!(text.parse::<InterfaceChoice>().is_err(), "{text:?}");
        }
    }
}
