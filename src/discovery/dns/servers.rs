//! Name servers and how they are asked.

use std::collections::{HashSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsError, DnsHandle, NetError, RetryDnsHandle};
use hickory_resolver::proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{self, Meaning};
use super::burst::{self, Question};
use super::failure::Failure;
use super::records::{Item, Records};

/// From this many questions on they go out in a burst.
const MANY: usize = 8;

/// The most questions that are under way at once outside a burst; each has a socket of its own.
const SLOWLY: usize = 32;

/// How long several servers may take together before each is asked by itself.
const TOGETHER: Duration = Duration::from_millis(400);

/// How long to ask on for what has no answer when the rest has. Some firewalls and name servers drop certain
/// questions; they shall not hold up what is known.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many SRV records surely do not fit into a datagram of 1,232 bytes: one takes 19 and its target at least.
const FITTING: usize = 60;

/// How many aliases may lead from one to the next.
const MAX_ALIASES: usize = 8;

/// The servers to ask, in their order.
pub(super) struct Servers {
    /// Asks the two that were quickest before, both at once, then the others.
    all: Asker,
    /// Asks one each, where there are several.
    each: Vec<Arc<Asker>>,
    addresses: Vec<SocketAddr>,
    tcp_only: bool,
    asked: String,
    search: Vec<Name>,
    ndots: usize,
}

/// What a server said about a name and a type of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Records, at least one of the type.
    Found(Records),
    /// The name exists, but has no such record: RFC 2308, section 2.2.
    NoData { ttl: Option<Duration> },
    /// The name does not exist: RFC 2308, section 2.1.
    NoName,
}

impl Servers {
    /// Asks `addresses`, which come from `origin` if the user did not give them, with `tcp_only` by TCP
    /// from the start. One lookup may take `timeout`.
    ///
    /// # Errors
    /// What hickory says against the configuration.
    pub fn new(
        addresses: &[SocketAddr],
        origin: Option<&str>,
        tcp_only: bool,
        timeout: Duration,
    ) -> Result<Self, String> {
        let configs: Vec<_> = addresses
            .iter()
            .map(|&address| config(address, tcp_only))
            .collect();
        let each = match configs.len() {
            0 | 1 => Vec::new(),
            _ => configs
                .iter()
                .map(|config| Asker::new(vec![config.clone()], timeout).map(Arc::new))
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
            all: Asker::new(configs, timeout)?,
            each,
            addresses: addresses.to_vec(),
            tcp_only,
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

    /// Asks for a full name's records of one type.
    ///
    /// # Errors
    /// [`Failure`] if no server could say.
    pub async fn ask(&self, name: &Name, record_type: RecordType) -> Result<Reply, Failure> {
        if let Some(reply) = without_asking(name, record_type) {
            return Ok(reply);
        }
        let mut all = pin!(self.all.ask(name, record_type));
        if self.each.is_empty() {
            return all.await;
        }
        let mut failure = match timeout(TOGETHER, &mut all).await {
            Ok(Err(failure)) if failure.is_the_server_s() => Some(failure),
            Ok(said) => return said,
            Err(_) => None,
        };
        // hickory stops at the first server that answers, even that it cannot say; and it waits for a silent
        // one before it asks another for what did not fit into a datagram. Like libc's resolver, ask each.
        let mut others = JoinSet::new();
        for one in &self.each {
            let (one, name) = (Arc::clone(one), name.clone());
            others.spawn(async move { one.ask(&name, record_type).await });
        }
        loop {
            tokio::select! {
                said = &mut all, if failure.is_none() => match said {
                    Err(why) => failure = Some(why),
                    said => return said,
                },
                said = others.join_next() => match said {
                    Some(Ok(Ok(reply))) => return Ok(reply),
                    Some(_) => {}
                    None => break,
                },
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => all.await,
        }
    }

    /// Asks many questions side by side. The replies are in the order of the questions. `usual` is the time
    /// that one question took.
    pub async fn ask_many(
        self: &Arc<Self>,
        questions: Vec<Question>,
        usual: Duration,
        deadline: Instant,
    ) -> Vec<Result<Reply, Failure>> {
        let mut deadline = deadline;
        let mut replies: Vec<_> = questions
            .iter()
            .map(|(name, record_type)| without_asking(name, *record_type).map(Ok))
            .collect();
        if questions.len() >= MANY && !self.tcp_only {
            for &server in &self.addresses {
                let left: Vec<_> = (0..questions.len())
                    .filter(|&index| replies[index].is_none())
                    .collect();
                let asked: Vec<_> = left.iter().map(|&index| questions[index].clone()).collect();
                let edns = self.all.edns.load(Ordering::Relaxed);
                let said = burst::ask(server, edns, &asked, usual, deadline).await;
                // Where a server says anything, the rest is about the questions and not about the server.
                let any = said.iter().any(Option::is_some);
                for (index, reply) in left.into_iter().zip(said) {
                    replies[index] = reply.map(Ok);
                }
                if any {
                    deadline = deadline.min(Instant::now() + PATIENCE.max(4 * usual));
                    break;
                }
            }
        }
        let mut open: VecDeque<_> = (0..questions.len())
            .filter(|&index| replies[index].is_none())
            .collect();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < SLOWLY
                && let Some(index) = open.pop_front()
            {
                let (servers, (name, record_type)) = (Arc::clone(self), questions[index].clone());
                under_way.spawn(async move {
                    let asking = servers.ask(&name, record_type);
                    let reply = timeout_at(deadline, asking).await;
                    (index, reply.unwrap_or(Err(Failure::Silent)))
                });
            }
            match under_way.join_next().await {
                None => break,
                Some(Ok((index, reply))) => replies[index] = Some(reply),
                // It panicked, and counts as silent.
                Some(Err(_)) => {}
            }
        }
        replies
            .into_iter()
            .map(|reply| reply.unwrap_or(Err(Failure::Silent)))
            .collect()
    }
}

/// What special names stand for, about which no server has to be asked: RFC 6761, sections 6.3 and 6.4, and
/// RFC 7686.
fn without_asking(name: &Name, record_type: RecordType) -> Option<Reply> {
    let found = |item| {
        Some(Reply::Found(Records {
            items: vec![item],
            ..Records::default()
        }))
    };
    let top = name.iter().next_back().unwrap_or_default();
    if top.eq_ignore_ascii_case(b"localhost") {
        return match record_type {
            RecordType::A => found(Item::Address(Ipv4Addr::LOCALHOST.into())),
            RecordType::AAAA => found(Item::Address(Ipv6Addr::LOCALHOST.into())),
            _ => Some(Reply::NoData { ttl: None }),
        };
    }
    if top.eq_ignore_ascii_case(b"invalid") || top.eq_ignore_ascii_case(b"onion") {
        return Some(Reply::NoName);
    }
    let loopback = record_type == RecordType::PTR
        && name
            .parse_arpa_name()
            .is_ok_and(|network| network.addr().is_loopback());
    if loopback {
        return found(Item::Name(Name::from_ascii("localhost.").ok()?));
    }
    None
}

/// Asks some of the servers.
struct Asker {
    pool: Pool,
    /// Without the extension mechanism (RFC 6891), which some servers take for an error in the question.
    plain: Pool,
    tcp: Pool,
    /// The names with so many services that they do not fit into a datagram. To ask for them by UDP first
    /// would only cost time.
    long: Mutex<HashSet<Name>>,
    /// Whether the servers take EDNS, as far as is known.
    edns: AtomicBool,
}

/// A pool of connections to servers, which hands out answers as they came.
struct Pool {
    handle: RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>,
    request: DnsRequestOptions,
}

impl Pool {
    fn new(servers: Vec<NameServerConfig>, options: ResolverOpts) -> Result<Self, NetError> {
        let mut request = DnsRequestOptions::default();
        request.use_edns = options.edns0;
        request.edns_payload_len = options.edns_payload_len;
        let attempts = options.attempts;
        let context = Arc::new(PoolContext::new(options, TlsConfig::new()?));
        let pool = NameServerPool::from_config(servers, context, TokioRuntimeProvider::default());
        Ok(Self {
            handle: RetryDnsHandle::new(pool, attempts),
            request,
        })
    }

    /// Asks one question. An alias is not followed.
    async fn ask(&self, name: &Name, record_type: RecordType) -> Result<Meaning, Failure> {
        let query = Query::query(name.clone(), record_type);
        match self.handle.lookup(query, self.request).first_answer().await {
            Ok(response) => Ok(answer::read(name, record_type, &response.into_message())),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Ok(match none.response_code {
                ResponseCode::NXDomain => Meaning::NoName,
                ResponseCode::NoError if none.soa.is_none() && none.ns.is_some() => {
                    Meaning::Fails(Failure::Referral)
                }
                ResponseCode::NoError => Meaning::NoData {
                    ttl: none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into())),
                },
                code => Meaning::Fails(Failure::Code(code)),
            }),
            Err(error) => Err(Failure::new(error)),
        }
    }
}

impl Asker {
    fn new(servers: Vec<NameServerConfig>, timeout: Duration) -> Result<Self, String> {
        let cannot = |error| format!("no resolver can be made: {error}");
        Ok(Self {
            pool: Pool::new(servers.clone(), options(timeout, true)).map_err(cannot)?,
            plain: Pool::new(servers.clone(), options(timeout, false)).map_err(cannot)?,
            tcp: Pool::new(by_tcp(servers), options(timeout, true)).map_err(cannot)?,
            long: Mutex::default(),
            edns: AtomicBool::new(true),
        })
    }

    async fn ask(&self, name: &Name, record_type: RecordType) -> Result<Reply, Failure> {
        if self.edns.load(Ordering::Relaxed) {
            match self.ask_with(true, name, record_type).await {
                Err(Failure::Code(code)) if dislikes_edns(code) => {}
                said => return said,
            }
        }
        let said = self.ask_with(false, name, record_type).await;
        if said.is_ok() {
            self.edns.store(false, Ordering::Relaxed);
        }
        said
    }

    async fn ask_with(
        &self,
        edns: bool,
        name: &Name,
        record_type: RecordType,
    ) -> Result<Reply, Failure> {
        let long = || self.long.lock().unwrap_or_else(PoisonError::into_inner);
        if edns && record_type == RecordType::SRV && long().contains(name) {
            match follow(&self.tcp, name, record_type).await {
                Ok(reply) => return Ok(reply),
                // Whatever it is, the usual way says it better.
                Err(_) => long().remove(name),
            };
        }
        let pool = if edns { &self.pool } else { &self.plain };
        let reply = follow(pool, name, record_type).await?;
        if let Reply::Found(records) = &reply
            && record_type == RecordType::SRV
            && records.items.len() > FITTING
        {
            long().insert(name.clone());
        }
        Ok(reply)
    }
}

/// The same servers, without UDP.
fn by_tcp(mut servers: Vec<NameServerConfig>) -> Vec<NameServerConfig> {
    for server in &mut servers {
        let connections = &mut server.connections;
        connections.retain(|connection| connection.protocol == ProtocolConfig::Tcp);
    }
    servers
}

/// What a server that does not know EDNS may say to it: RFC 6891, section 7.
fn dislikes_edns(code: ResponseCode) -> bool {
    matches!(
        code,
        ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS
    )
}

/// The records of a name, aliases followed.
async fn follow(pool: &Pool, name: &Name, record_type: RecordType) -> Result<Reply, Failure> {
    let mut name = name.clone();
    let mut alias_ttl: Option<Duration> = None;
    for _ in 0..MAX_ALIASES {
        let (next, ttl) = match pool.ask(&name, record_type).await? {
            Meaning::Found(mut records) => {
                records.ttl = records.ttl.into_iter().chain(alias_ttl).min();
                return Ok(Reply::Found(records));
            }
            Meaning::NoData { ttl } => {
                let ttl = ttl.into_iter().chain(alias_ttl).min();
                return Ok(Reply::NoData { ttl });
            }
            Meaning::NoName => return Ok(Reply::NoName),
            Meaning::Fails(failure) => return Err(failure),
            Meaning::Alias { next, ttl } => (next, ttl),
        };
        alias_ttl = alias_ttl.into_iter().chain(ttl).min();
        name = next;
    }
    Err(Failure::Other(
        "it is an alias of an alias, on and on".into(),
    ))
}

fn config(address: SocketAddr, tcp_only: bool) -> NameServerConfig {
    let udp = (!tcp_only).then(ConnectionConfig::udp);
    let connections = udp
        .into_iter()
        .chain([ConnectionConfig::tcp()])
        .map(|mut connection| {
            connection.port = address.port();
            connection
        })
        .collect();
    NameServerConfig::new(address.ip(), true, connections)
}

fn options(timeout: Duration, edns: bool) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    // How often to ask is the pace's to say; an answer from a cache of our own would only be old.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    // Lost datagrams are sent again by then; a second round reaches servers that the first did not.
    options.timeout = timeout / 2;
    options.attempts = 1;
    options.edns0 = edns;
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(search: &[&str], ndots: usize, name: &str) -> Vec<String> {
        let address = "127.0.0.1:53".parse().unwrap();
        let servers = Servers::new(&[address], None, false, Duration::from_secs(1))
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
