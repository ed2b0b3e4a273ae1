//! What the `dns` provider can be told, and what it makes of it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hickory_resolver::proto::rr::{self, Name};

use crate::discovery::Context;
use crate::discovery::address::plain;
use crate::discovery::host_template::{HostTemplate, address_in};
use crate::discovery::polling::KEEP_FOR;
use crate::name::NodeName;

/// What the `dns` provider can be told.
///
/// ```
/// use rendez::discovery::dns::{DnsConfig, DnsName};
/// let config = DnsConfig {
///     app_name: Some("shop".into()),
///     ..DnsConfig::new([DnsName::from("shop.internal")])
/// };
/// assert_eq!(config.interval.as_secs(), 5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// The names to look up, side by side. At least one.
    pub names: Vec<DnsName>,
    /// What stands before the `@` of the nodes behind every name that has no `app_name` of its own.
    /// `None`: as in the own node's name.
    pub app_name: Option<String>,
    /// Which records to ask for, all at once. At least one kind.
    pub record_type: Vec<RecordType>,
    /// What stands after the `@` of the nodes.
    pub host_type: HostType,
    /// What stands after the `@` of the nodes, made by a template of what was found: `{ip}`, `{ip-dashed}`,
    /// `{label}` (the host name up to its first dot), `{host}`. `None`: the address or the host name, as
    /// [`host_type`](Self::host_type) says, and of the latter only the first label if the own node's name is
    /// short (`-sname`).
    pub host_template: Option<String>,
    /// `Some(true)`: IPv6 addresses (AAAA) only. `Some(false)`: IPv4 addresses (A) only. `None`: the
    /// family of the own node's host if that is an address, or a name made of one (`10-1-2-3.…`), otherwise both. A node has one name, so
    /// asking for both where nodes are named by one makes a second name that nobody has.
    pub ipv6: Option<bool>,
    /// Name servers to ask instead of the system's. The system's search domains still hold.
    pub nameservers: Vec<SocketAddr>,
    /// How long one name's lookup may take, with all its retries, search domains and the change to TCP.
    pub lookup_timeout: Duration,
    /// The longest time between two lookups; see [`Pace`](crate::discovery::polling::Pace).
    pub interval: Duration,
    /// How long a name is kept that the answers leave out. Default: [`KEEP_FOR`].
    pub keep_for: Duration,
    /// Where the system keeps its resolver configuration and hosts.
    pub files: SystemFiles,
}

impl DnsConfig {
    /// The longest time between two lookups unless said otherwise.
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// How long a lookup may take unless said otherwise.
    pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
    /// The port of a name server given without one.
    pub const PORT: u16 = 53;

    /// Looks up `names`, everything else at its default.
    pub fn new(names: impl IntoIterator<Item = DnsName>) -> Self {
        Self {
            names: names.into_iter().collect(),
            app_name: None,
            record_type: vec![RecordType::default()],
            host_type: HostType::default(),
            host_template: None,
            ipv6: None,
            nameservers: Vec::new(),
            lookup_timeout: Self::LOOKUP_TIMEOUT,
            interval: Self::INTERVAL,
            keep_for: KEEP_FOR,
            files: SystemFiles::default(),
        }
    }

    /// Checks everything that can be checked without asking a server.
    ///
    /// # Errors
    /// See [`InvalidDnsConfig`].
    pub(super) fn check(&self, context: &Context) -> Result<Checked, InvalidDnsConfig> {
        if self.names.is_empty() {
            return Err(InvalidDnsConfig::NoNames);
        }
        if self.lookup_timeout.is_zero() {
            return Err(InvalidDnsConfig::NoTime);
        }
        if let Some(SocketAddr::V6(zoned)) = self
            .nameservers
            .iter()
            .find(|server| matches!(server, SocketAddr::V6(v6) if v6.scope_id() != 0))
        {
            return Err(InvalidDnsConfig::ZonedServer((*zoned).into()));
        }
        if self.record_type.is_empty() {
            return Err(InvalidDnsConfig::NoRecordType);
        }
        let own_app = context.own.as_ref().map(NodeName::name);
        let names = self
            .names
            .iter()
            .flat_map(|name| {
                self.records_of(name)
                    .map(move |record_type| (name, record_type))
            })
            .map(|(name, record_type)| {
                let app = name
                    .app_name
                    .as_deref()
                    .or(self.app_name.as_deref())
                    .or(own_app)
                    .ok_or_else(|| InvalidDnsConfig::NoAppName(name.dns_name.clone()))?;
                Watched::new(app, &name.dns_name, record_type)
            })
            .collect::<Result<_, _>>()?;
        let own_host = context.own.as_ref().map(NodeName::host);
        Ok(Checked {
            names,
            host_type: self.host_type,
            template: self.template()?,
            families: families(self.ipv6, own_host),
        })
    }

    /// The template, of which every placeholder stands for something that the lookups find out.
    fn template(&self) -> Result<Option<HostTemplate>, InvalidDnsConfig> {
        let Some(text) = &self.host_template else {
            return Ok(None);
        };
        let refuse = |reason: String| InvalidDnsConfig::HostTemplate {
            template: text.clone(),
            reason,
        };
        let template = HostTemplate::parse(text).map_err(refuse)?;
        if template.needs_host()
            && self.host_type == HostType::Ip
            && self.record_type.contains(&RecordType::Ip)
        {
            return Err(refuse(
                "{label} and {host} need host names, and an address has none unless it is looked up (PTR); set \
                 host_type to hostname"
                    .into(),
            ));
        }
        if template.needs_address()
            && self.host_type == HostType::Hostname
            && self.record_type.contains(&RecordType::Srv)
        {
            return Err(refuse(
                "{ip} and {ip-dashed} need addresses, and the targets of SRV records are not resolved with \
                 host_type hostname; set host_type to ip"
                    .into(),
            ));
        }
        Ok(Some(template))
    }

    /// Which records to ask for, each kind once. An address stands for itself, so that beside addresses
    /// nothing else is asked of it.
    fn records_of(&self, name: &DnsName) -> impl Iterator<Item = RecordType> {
        let is_address = plain(&name.dns_name).parse::<IpAddr>().is_ok();
        let all = &self.record_type;
        let ip = all.contains(&RecordType::Ip).then_some(RecordType::Ip);
        let srv = all.contains(&RecordType::Srv).then_some(RecordType::Srv);
        ip.into_iter()
            .chain(srv.filter(|_| ip.is_none() || !is_address))
    }
}

/// A name to look up, and what the nodes behind it are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsName {
    /// What stands before the `@` of the nodes behind the name; `None`: [`DnsConfig::app_name`].
    pub app_name: Option<String>,
    /// The name to look up: `myapp.internal`. With a dot at its end no search domain is tried. An
    /// address stands for itself.
    pub dns_name: String,
}

impl From<&str> for DnsName {
    fn from(dns_name: &str) -> Self {
        Self {
            app_name: None,
            dns_name: dns_name.into(),
        }
    }
}

impl From<(&str, &str)> for DnsName {
    /// From `(app_name, dns_name)`.
    fn from((app_name, dns_name): (&str, &str)) -> Self {
        Self {
            app_name: Some(app_name.into()),
            dns_name: dns_name.into(),
        }
    }
}

/// Which records to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RecordType {
    /// Addresses: A and AAAA.
    #[default]
    Ip,
    /// Services: SRV (RFC 2782). Each target is a host; its priority and weight do not matter.
    Srv,
}

/// What stands after the `@` of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HostType {
    /// The address: `app@10.0.0.7`, `app@fdaa::3`. The target of an SRV record is resolved to it.
    #[default]
    Ip,
    /// The host's name: `app@app-0.app.svc.cluster.local`. The target of an SRV record is one; an address is
    /// looked up the other way round (PTR).
    Hostname,
}

/// Where the system keeps its resolver configuration and hosts.
///
/// Both files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFiles {
    /// Name servers and search domains: see resolv.conf(5). Read on Unix, except on Apple's systems
    /// and Android; elsewhere the system is asked in its own way.
    pub resolv_conf: PathBuf,
    /// Names that need no name server: see hosts(5).
    pub hosts: PathBuf,
}

impl Default for SystemFiles {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
        }
    }
}

/// Why a [`DnsConfig`] cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDnsConfig {
    /// There is nothing to look up.
    #[error("dns_name is missing: give the DNS name, or names, behind which the nodes are")]
    NoNames,
    /// It is not known what the nodes are called.
    #[error(
        "app_name is missing: the nodes behind {0} need a name before the `@`; give app_name or a pair \
         of app_name and dns_name"
    )]
    NoAppName(String),
    /// The text cannot be looked up.
    #[error("dns_name {name:?} is no DNS name: {reason}")]
    DnsName {
        /// The text.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The nodes cannot have this name.
    #[error("app_name {name:?} cannot stand before the `@` of a node name: {reason}")]
    AppName {
        /// The text.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The template makes no host, or needs what is not looked up.
    #[error("host_template {template:?}: {reason}")]
    HostTemplate {
        /// The text.
        template: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing to ask for.
    #[error("record_type names no records: give ip, srv or both")]
    NoRecordType,
    /// An address has no services.
    #[error(
        "dns_name {0} is an address, which has no SRV records: give the service's name, or record_type ip"
    )]
    AddressOfService(String),
    /// No lookup can succeed in no time.
    #[error("lookup_timeout is 0: give the seconds that one lookup may take, for example 3")]
    NoTime,
    /// The resolver cannot keep to a zone.
    #[error(
        "nameserver {0} has a zone index, which is not supported: give an address that is not link-local"
    )]
    ZonedServer(SocketAddr),
}

/// A [`DnsConfig`] that was checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub names: Vec<Watched>,
    pub host_type: HostType,
    pub template: Option<HostTemplate>,
    pub families: &'static [Family],
}

/// A name to look up and the name of the nodes behind it, both valid.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub app: String,
    /// The name as the user wrote it.
    pub text: String,
    pub target: Target,
    pub record_type: RecordType,
}

/// What there is to look up.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Nothing: it is an address.
    Address(IpAddr),
    Name(Name),
}

impl Watched {
    fn new(app: &str, text: &str, record_type: RecordType) -> Result<Self, InvalidDnsConfig> {
        NodeName::new(app, "localhost").map_err(|invalid| InvalidDnsConfig::AppName {
            name: app.into(),
            reason: invalid.to_string(),
        })?;
        let refuse = |reason: String| InvalidDnsConfig::DnsName {
            name: text.into(),
            reason,
        };
        let target = match plain(text).parse::<IpAddr>() {
            Ok(_) if record_type == RecordType::Srv => {
                return Err(InvalidDnsConfig::AddressOfService(text.into()));
            }
            Ok(address) => Target::Address(address.to_canonical()),
            Err(_) => {
                if text.is_empty() || text == "." {
                    return Err(refuse("it is empty".into()));
                }
                if let Some(bad) = text.chars().find(|c| {
                    c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '@' | ',' | '\\')
                }) {
                    return Err(refuse(format!("it contains {bad:?}")));
                }
                let name = Name::from_str(text)
                    // Names with an underscore are not host names, but they can be looked up.
                    .or_else(|_| Name::from_str_relaxed(text))
                    .map_err(|error| refuse(error.to_string()))?;
                // Some servers give the question's case back in the names that they answer with.
                Target::Name(name.to_lowercase())
            }
        };
        Ok(Self {
            app: app.into(),
            text: text.into(),
            target,
            record_type,
        })
    }
}

/// A kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// The kind of this address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The records that hold such addresses: RFC 1035, section 3.4.1, and RFC 3596.
    pub fn record_type(self) -> rr::RecordType {
        match self {
            Self::V4 => rr::RecordType::A,
            Self::V6 => rr::RecordType::AAAA,
        }
    }
}

/// Which families to ask for: see [`DnsConfig::ipv6`].
fn families(ipv6: Option<bool>, own_host: Option<&str>) -> &'static [Family] {
    let own_address = own_host.and_then(address_in);
    match ipv6.or_else(|| own_address.map(|address| address.is_ipv6())) {
        Some(true) => &[Family::V6],
        Some(false) => &[Family::V4],
        None => &[Family::V4, Family::V6],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(own: Option<&str>) -> Context {
        Context {
            own: own.map(|name| name.parse().unwrap()),
            cookie: None,
        }
    }

    #[test]
    fn the_family_is_that_of_the_own_host_unless_said_otherwise() {
        use Family::{V4, V6};
        for (ipv6, own_host, expected) in [
            (Some(true), Some("10.0.0.1"), &[V6][..]),
            (Some(false), Some("fdaa::1"), &[V4]),
            (None, Some("10.0.0.1"), &[V4]),
            (None, Some("fdaa::1"), &[V6]),
            (None, Some("::ffff:10.0.0.1"), &[V4]),
            (None, Some("10-0-0-1.prod.pod.cluster.local"), &[V4]),
            (None, Some("fdaa--1.prod.pod.cluster.local"), &[V6]),
            (None, Some("a.example.org"), &[V4, V6]),
            (None, None, &[V4, V6]),
        ] {
            assert_eq!(families(ipv6, own_host), expected, "{ipv6:?} {own_host:?}");
        }
    }

    #[test]
    fn the_name_before_the_at_comes_from_the_pair_then_the_option_then_the_own_node() {
        let mut config = DnsConfig::new(["plain.test".into(), ("pair", "pair.test").into()]);
        let apps = |config: &DnsConfig, own| -> Vec<String> {
            let checked = config.check(&context(own)).unwrap();
            checked.names.into_iter().map(|name| name.app).collect()
        };
        assert_eq!(apps(&config, Some("own@h")), ["own", "pair"]);
        config.app_name = Some("option".into());
        assert_eq!(apps(&config, Some("own@h")), ["option", "pair"]);
        assert_eq!(apps(&config, None), ["option", "pair"]);
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_option_s_name() {
        let refused = |config: DnsConfig| config.check(&context(None)).unwrap_err().to_string();
        let named = |name: &str| DnsConfig::new([("app", name).into()]);
        for (config, part) in [
            (DnsConfig::new([]), "dns_name is missing"),
            (DnsConfig::new(["a.test".into()]), "app_name is missing"),
            (
                DnsConfig::new([("a b", "a.test").into()]),
                "app_name \"a b\"",
            ),
            (named(""), "dns_name \"\""),
            (named("http://a.test"), "it contains ':'"),
            (named(&"a".repeat(64)), "is no DNS name"),
            (named(&"a.".repeat(128)), "is no DNS name"),
            (
                DnsConfig {
                    host_template: Some("{port}".into()),
                    ..named("a.test")
                },
                "host_template \"{port}\": there is no placeholder {port}",
            ),
            (
                DnsConfig {
                    host_template: Some("{label}".into()),
                    ..named("a.test")
                },
                "set host_type to hostname",
            ),
            (
                DnsConfig {
                    host_template: Some("{ip}".into()),
                    host_type: HostType::Hostname,
                    record_type: vec![RecordType::Srv],
                    ..named("a.test")
                },
                "set host_type to ip",
            ),
            (
                DnsConfig {
                    lookup_timeout: Duration::ZERO,
                    ..named("a.test")
                },
                "lookup_timeout is 0",
            ),
            (
                DnsConfig {
                    nameservers: vec!["[fe80::1%2]:53".parse().unwrap()],
                    ..named("a.test")
                },
                "zone index",
            ),
        ] {
            let message = refused(config);
            assert!(message.contains(part), "{message:?} has no {part:?}");
        }
    }

    #[test]
    fn service_names_and_addresses_can_be_looked_up() {
        for name in [
            "a",
            "a.test.",
            "_app._tcp.a.test",
            "10.0.0.1",
            "fdaa::1",
            "[fdaa::1]",
            "localhost",
        ] {
            let config = DnsConfig::new([("app", name).into()]);
            assert!(config.check(&context(None)).is_ok(), "{name}");
        }
    }
}
