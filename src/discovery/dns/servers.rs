//! Name servers and how one name and one family is asked of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::config::Family;
use super::failure::Failure;

/// The servers to ask, in their order.
pub(super) struct Servers {
    /// Asks the two that were quickest before, both at once, then the others.
    all: TokioResolver,
    /// Asks one each, where there are several.
    each: Vec<TokioResolver>,
    asked: String,
    search: Vec<Name>,
    ndots: usize,
}

/// What a server said about a name and a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Addresses, at least one.
    Found {
        addresses: Vec<IpAddr>,
        ttl: Duration,
    },
    /// The name exists, but has no address of this family: RFC 2308, section 2.2.
    NoData { ttl: Option<Duration> },
    /// The name does not exist: RFC 2308, section 2.1.
    NoName,
}

impl Servers {
    /// Asks `addresses`, which come from `origin` if the user did not give them. One lookup may take
    /// `timeout`.
    ///
    /// # Errors
    /// What hickory says against the configuration.
    pub fn new(
        addresses: &[SocketAddr],
        origin: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, String> {
        let configs: Vec<_> = addresses.iter().copied().map(config).collect();
        let each = match configs.len() {
            0 | 1 => Vec::new(),
            _ => configs
                .iter()
                .map(|config| resolver(vec![config.clone()], timeout))
                .collect::<Result<_, _>>()?,
        };
        let mut asked = addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        if let Some(origin) = origin {
            asked = format!("{asked} ({origin})");
        }
        Ok(Self {
            all: resolver(configs, timeout)?,
            each,
            asked,
            search: Vec::new(),
            ndots: 1,
        })
    }

    /// With search domains, and the dots that a name must have to be tried as it is first.
    pub fn searching(self, search: Vec<Name>, ndots: usize) -> Self {
        Self {
            search,
            ndots,
            ..self
        }
    }

    /// Who is asked, for messages.
    pub fn asked(&self) -> &str {
        &self.asked
    }

    /// The full names to try, in order: see `search` and `ndots` in resolv.conf(5).
    pub fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut plain = name.clone();
        plain.set_fqdn(true);
        if name.is_fqdn() {
            return vec![plain];
        }
        // A domain that makes the name too long cannot have it.
        let searched = self
            .search
            .iter()
            .filter_map(|domain| name.clone().append_domain(domain).ok());
        let plain_first = usize::from(name.num_labels()) > self.ndots || name.is_localhost();
        let mut names = Vec::with_capacity(self.search.len() + 1);
        if plain_first {
            names.push(plain.clone());
        }
        names.extend(searched);
        if !plain_first {
            names.push(plain);
        }
        names
    }

    /// Asks for one family's addresses of a full name.
    ///
    /// # Errors
    /// [`Failure`] if no server could say.
    pub async fn ask(&self, name: &Name, family: Family) -> Result<Reply, Failure> {
        let failure = match ask(&self.all, name, family).await {
            Err(failure) if failure.is_the_server_s() => failure,
            said => return said,
        };
        // hickory stops at the first server that answers, even that it cannot say. Like libc's resolver,
        // ask the others then.
        for one in &self.each {
            match ask(one, name, family).await {
                Err(_) => {}
                said => return said,
            }
        }
        Err(failure)
    }
}

async fn ask(resolver: &TokioResolver, name: &Name, family: Family) -> Result<Reply, Failure> {
    let record_type = match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    };
    let lookup = match resolver.lookup(name.clone(), record_type).await {
        Ok(lookup) => lookup,
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            return match none.response_code {
                ResponseCode::NoError => Ok(Reply::NoData {
                    ttl: none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into())),
                }),
                ResponseCode::NXDomain => Ok(Reply::NoName),
                code => Err(Failure::Code(code)),
            };
        }
        Err(error) => return Err(Failure::new(error)),
    };
    let answers = lookup.answers();
    let mut addresses = Vec::with_capacity(answers.len());
    let mut ttl = u32::MAX;
    for record in answers {
        // An alias on the way (CNAME) can run out before the addresses do.
        ttl = ttl.min(record.ttl);
        match (&record.data, family) {
            (RData::A(address), Family::V4) => addresses.push(IpAddr::V4(address.0)),
            (RData::AAAA(address), Family::V6) => addresses.push(IpAddr::V6(address.0)),
            _ => {}
        }
    }
    let ttl = Duration::from_secs(ttl.into());
    if addresses.is_empty() {
        return Ok(Reply::NoData { ttl: Some(ttl) });
    }
    Ok(Reply::Found { addresses, ttl })
}

fn config(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut connection| {
            connection.port = address.port();
            connection
        })
        .collect();
    NameServerConfig::new(address.ip(), true, connections)
}

fn resolver(servers: Vec<NameServerConfig>, timeout: Duration) -> Result<TokioResolver, String> {
    let mut builder = TokioResolver::builder_with_config(
        ResolverConfig::from_name_servers(servers),
        TokioRuntimeProvider::default(),
    );
    let mut options = ResolverOpts::default();
    // How often to ask is the pace's to say; an answer from a cache of our own would only be old.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    // Lost datagrams are sent again by then; a second round reaches servers that the first did not.
    options.timeout = timeout / 2;
    options.attempts = 1;
    options.edns0 = true;
    *builder.options_mut() = options;
    builder
        .build()
        .map_err(|error| format!("no resolver can be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(search: &[&str], ndots: usize, name: &str) -> Vec<String> {
        let address = "127.0.0.1:53".parse().unwrap();
        let servers = Servers::new(&[address], None, Duration::from_secs(1))
            .unwrap()
            .searching(
                search.iter().map(|name| name.parse().unwrap()).collect(),
                ndots,
            );
        servers
            .candidates(&name.parse().unwrap())
            .iter()
            .map(Name::to_string)
            .collect()
    }

    #[tokio::test]
    async fn search_domains_come_first_for_names_with_few_dots() {
        let search = ["ns.svc.test", "svc.test"];
        assert_eq!(
            tried(&search, 1, "app"),
            ["app.ns.svc.test.", "app.svc.test.", "app."]
        );
        assert_eq!(
            tried(&search, 1, "app.ns"),
            ["app.ns.", "app.ns.ns.svc.test.", "app.ns.svc.test."]
        );
        assert_eq!(
            tried(&search, 5, "app.ns"),
            ["app.ns.ns.svc.test.", "app.ns.svc.test.", "app.ns."]
        );
        assert_eq!(tried(&search, 5, "app.ns."), ["app.ns."]);
        assert_eq!(tried(&search, 5, "localhost")[0], "localhost.");
        assert_eq!(tried(&[], 1, "app"), ["app."]);
    }
}
