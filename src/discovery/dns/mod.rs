//! The `dns` provider: the nodes behind a DNS name, one for each of its addresses or services.
//!
//! `shop.internal` with the addresses `10.0.0.7` and `10.0.0.8` names the nodes `shop@10.0.0.7` and
//! `shop@10.0.0.8`; what stands before the `@` is `app_name`, by default the own node's. The nodes have to
//! be named by their addresses in the same way.
//!
//! | [`RecordType`] | [`HostType`] | what stands after the `@` |
//! | --- | --- | --- |
//! | `Ip` | `Ip` | each address |
//! | `Ip` | `Hostname` | the name of each address, looked up the other way round (PTR) |
//! | `Srv` | `Ip` | the addresses of each target, as the answer has them in its additional section or as they are found, all targets side by side |
//! | `Srv` | `Hostname` | each target |
//!
//! Several record types are asked for at once. The port of an SRV record goes with the node as a hint
//! ([`Observation::Ports`](super::Observation::Ports)), unless it is 0, EPMD's, or two records have different
//! ones for one node.
//!
//! - A and AAAA are asked for at once; [`DnsConfig::ipv6`] says which.
//! - The system's name servers are asked, or those given, by UDP (RFC 1035, with EDNS, RFC 6891) and by TCP
//!   where the answer does not fit. Search domains hold for names without a dot at their end.
//! - What the system's hosts file says about a name is added, unless name servers are given. An entry that has
//!   only the own node's address does not count.
//! - All records of the asked type in an answer count, whatever their owner, as with OTP's `inet_res`.
//! - An IPv4-mapped IPv6 address is the IPv4 address.
//! - No answer about a name is cached here; those about targets and addresses are, for their time to live.
//!   The pace is that of [`Pace`](super::polling::Pace): quick while answers change,
//!   then by their time to live.
//!
//! # What counts as an answer
//!
//! | the server says | that means |
//! | --- | --- |
//! | addresses | these nodes and no others |
//! | services | their targets and no others; a target that cannot be resolved keeps its last addresses |
//! | the name has no such records (NODATA), or the one target `.` | nobody |
//! | the name does not exist (NXDOMAIN) | a failure: the name may be misspelt, its zone may be half loaded; a Kubernetes headless service loses its name while none of its pods is *ready*, though they run and are connected |
//! | the answer is about another name only and has no such records, refers to other servers, or its aliases lead in a circle or nowhere | a failure |
//! | SERVFAIL, REFUSED, another error, silence | a failure |
//!
//! A failure removes nothing. Each name and each type of record keeps what it last said until it says something
//! else, and one that fails does not hold back the others.

mod answer;
mod burst;
mod config;
mod failure;
mod hosts;
mod lookup;
mod naming;
mod records;
mod servers;
mod system;
#[cfg(test)]
mod tests;

pub use config::{DnsConfig, DnsName, HostType, InvalidDnsConfig, RecordType, SystemFiles};

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{self, Name};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use super::host_template::{HostTemplate, first_label};
use super::polling::{Answer, Notice, Poll, PollError, Polling};
use super::{Context, Provider};
use crate::name::NodeName;
use config::{Family, Target, Watched};
use failure::Failure;
use hosts::{Ambiguous, Host, Memory, Way};
use lookup::{Looked, Origin, Part, in_hosts_file, look_up};
use naming::Fitting;
use system::{System, is_local};

/// How long the names that answered wait for those that did not. The latter stay under way: what they find
/// out is in a later answer, and must not delay the first join.
const PATIENCE: Duration = Duration::from_millis(250);

/// Makes the provider.
///
/// # Errors
/// See [`InvalidDnsConfig`].
pub fn provider(
    config: &DnsConfig,
    context: &Context,
) -> Result<Box<dyn Provider>, InvalidDnsConfig> {
    let polling = Polling::new(Dns::new(config, context)?, config.interval);
    Ok(Box::new(polling.keeping(config.keep_for)))
}

/// Looks every name up once, and waits for all of them.
///
/// # Errors
/// The cause and the remedy, if the configuration is not valid or nothing was learnt. Where only some
/// names failed, [`Answer::trouble`] says so.
pub async fn resolve(config: &DnsConfig, context: &Context) -> Result<Answer, PollError> {
    let mut dns = Dns::new(config, context).map_err(|invalid| PollError(invalid.to_string()))?;
    dns.start();
    dns.wait(None).await;
    dns.answer()
}

/// Looks names up: see the [module](self).
pub struct Dns {
    names: Vec<State>,
    own: Option<NodeName>,
    families: &'static [Family],
    host_type: HostType,
    template: Option<HostTemplate>,
    system: System,
    lookup_timeout: Duration,
    lookups: JoinSet<Done>,
    /// Which name a lookup under way is for, and in which round it began.
    under_way: HashMap<Id, (usize, u64)>,
    round: u64,
}

/// What is known of a name.
struct State {
    watched: Watched,
    /// What each part came to at last.
    known: Vec<(Part, Vec<Host>)>,
    /// What was found out of what the records lead to.
    memory: Arc<Memory>,
    /// The full name that had the records.
    answered: Option<Name>,
    ttl: Option<Duration>,
    /// What the last lookup could not find out: the cause and the remedy.
    failure: Option<String>,
    /// Whether the failure is that the name does not exist.
    denied: bool,
    /// What the user should know about the last answer.
    notices: Vec<Notice>,
    /// Whether the last lookup found out anything.
    fresh: bool,
    pending: bool,
}

/// What comes of a lookup.
struct Done {
    parts: Vec<(Part, Result<Vec<Host>, Failure>)>,
    ttl: Option<Duration>,
    answered: Option<Name>,
    /// A name that has the records although another one was asked for.
    foreign: Option<Name>,
    /// The addresses that have several names.
    ambiguous: Vec<Ambiguous>,
    /// What the records lead to and was not found out.
    missing: Vec<(String, Failure)>,
    memory: Memory,
    /// Of whom it was asked.
    asked: String,
}

/// Goes from what was found of a name to the hosts of nodes.
async fn lead(looked: Looked, way: Way<'_>) -> Done {
    let mut done = Done {
        parts: Vec::with_capacity(looked.parts.len()),
        ttl: looked.ttl,
        answered: looked.answered,
        foreign: None,
        ambiguous: Vec::new(),
        missing: Vec::new(),
        memory: Memory::default(),
        asked: way.servers.asked().to_owned(),
    };
    for (part, records) in looked.parts {
        let hosts = match records {
            Err(failure) => {
                done.memory.keep(way.memory);
                Err(failure)
            }
            Ok(mut records) => {
                let foreign = records.foreign.take();
                done.foreign = done.foreign.or(foreign);
                let mut led = way.lead(&records).await;
                done.ambiguous.append(&mut led.ambiguous);
                done.ttl = done.ttl.into_iter().chain(led.ttl).min();
                done.memory.keep(&led.memory);
                if led.hosts.is_empty() && !led.failures.is_empty() {
                    // The first of them stands for all: nothing was found out.
                    Err(led.failures.swap_remove(0).1)
                } else {
                    done.missing.append(&mut led.failures);
                    Ok(led.hosts)
                }
            }
        };
        done.parts.push((part, hosts));
    }
    done
}

impl Dns {
    /// Makes a source that can be polled.
    ///
    /// # Errors
    /// See [`InvalidDnsConfig`].
    pub fn new(config: &DnsConfig, context: &Context) -> Result<Self, InvalidDnsConfig> {
        let checked = config.check(context)?;
        let names = checked
            .names
            .into_iter()
            .map(|watched| State {
                watched,
                known: Vec::new(),
                memory: Arc::default(),
                answered: None,
                ttl: None,
                failure: None,
                denied: false,
                notices: Vec::new(),
                fresh: false,
                pending: false,
            })
            .collect();
        Ok(Self {
            names,
            own: context.own.clone(),
            families: checked.families,
            host_type: checked.host_type,
            template: checked.template,
            system: System::new(config),
            lookup_timeout: config.lookup_timeout,
            lookups: JoinSet::new(),
            under_way: HashMap::new(),
            round: 0,
        })
    }

    /// Starts the lookup of every name that has none under way.
    fn start(&mut self) {
        self.round += 1;
        let hosts = self.system.hosts();
        let servers = self.system.servers();
        for (index, state) in self.names.iter_mut().enumerate() {
            if state.pending {
                continue;
            }
            state.fresh = false;
            let target = state.watched.target.clone();
            if let (Target::Address(address), HostType::Ip) = (&target, self.host_type) {
                let part = Part::of_servers(Family::of(*address).record_type());
                state.known = vec![(part, vec![Host::at(*address)])];
                state.fresh = true;
                continue;
            }
            let servers = match &servers {
                Ok(servers) => servers.clone(),
                Err(error) => {
                    state.failure = Some(format!("{}: {error}", state.watched.text));
                    continue;
                }
            };
            let types: Vec<_> = match state.watched.record_type {
                RecordType::Ip => self.families.iter().map(|f| f.record_type()).collect(),
                RecordType::Srv => vec![rr::RecordType::SRV],
            };
            let (host_type, families) = (self.host_type, self.families);
            let (hosts, memory) = (hosts.clone(), state.memory.clone());
            let answered = state.answered.clone();
            let with_hosts_file = self.system.hosts_file().is_some();
            let (own, app) = (self.own.clone(), state.watched.app.clone());
            let text = state.watched.text.clone();
            let began = Instant::now();
            let deadline = began + self.lookup_timeout;
            let task = self.lookups.spawn(async move {
                let looked = match target {
                    Target::Name(name) => {
                        let looking = look_up(&name, &types, &servers, answered.as_ref());
                        let mut looked = timeout_at(deadline, looking)
                            .await
                            .unwrap_or_else(|_| Looked::failed(&types, &Failure::Silent));
                        if with_hosts_file {
                            let is_own = |address| is_own(address, own.as_ref(), &app);
                            let listed = in_hosts_file(&name, &types, &hosts, is_own);
                            let listed = listed.into_iter();
                            looked
                                .parts
                                .extend(listed.map(|(part, records)| (part, Ok(records))));
                        }
                        looked
                    }
                    Target::Address(address) => Looked::address(address),
                };
                let way = Way {
                    host_type,
                    families,
                    hosts: &hosts,
                    servers: &servers,
                    fitting: Fitting {
                        own_host: own.as_ref().map(NodeName::host),
                        looked_up: &text,
                    },
                    memory: &memory,
                    usual: began.elapsed(),
                    deadline,
                };
                lead(looked, way).await
            });
            self.under_way.insert(task.id(), (index, self.round));
            state.pending = true;
        }
    }

    /// Takes in what the lookups find out, until all that began in this round are done, or `patience` after
    /// the first that found anything is over.
    async fn wait(&mut self, patience: Option<Duration>) {
        let mut deadline = None;
        while self
            .under_way
            .values()
            .any(|(_, round)| *round == self.round)
        {
            let next = self.lookups.join_next_with_id();
            let done = match deadline {
                None => next.await,
                Some(deadline) => match timeout_at(deadline, next).await {
                    Ok(done) => done,
                    Err(_) => return,
                },
            };
            let Some(done) = done else { return };
            self.take(done);
            if deadline.is_none() && self.names.iter().any(|state| state.fresh) {
                deadline = patience.map(|patience| Instant::now() + patience);
            }
        }
    }

    fn take(&mut self, done: Result<(Id, Done), JoinError>) {
        let (id, done) = match done {
            Ok((id, done)) => (id, Ok(done)),
            Err(error) => (error.id(), Err(error.to_string())),
        };
        let Some((index, _)) = self.under_way.remove(&id) else {
            return;
        };
        let state = &mut self.names[index];
        state.pending = false;
        match done {
            Ok(done) => state.learn(done, self.lookup_timeout, self.system.hosts_file()),
            Err(error) => {
                state.failure = Some(format!(
                    "{}: the lookup broke off: {error}",
                    state.watched.text
                ));
            }
        }
    }

    /// What is known now, all names together.
    fn answer(&self) -> Result<Answer, PollError> {
        let mut troubles = Vec::new();
        let mut found = Nodes::default();
        let mut ttl: Option<Duration> = None;
        for state in &self.names {
            if let Some(failure) = &state.failure {
                if !(state.denied && self.has_other_records(state)) {
                    troubles.push(failure.clone());
                }
            } else if state.pending {
                troubles.push(format!("{}: no answer yet", state.watched.text));
            }
            if let Some(other) = state.ttl {
                ttl = Some(ttl.map_or(other, |ttl| ttl.min(other)));
            }
            found.add(state, |host| self.host_part(host));
        }
        let Nodes { nodes, ports } = found;
        // The records of one type can say the same as those of another.
        troubles.dedup();
        let trouble =
            (!troubles.is_empty()).then(|| PollError(several(&troubles, self.names.len())));
        match trouble {
            Some(trouble) if !self.names.iter().any(|state| state.fresh) => Err(trouble),
            trouble => Ok(Answer {
                nodes: nodes.into_values().collect(),
                ports: ports
                    .into_iter()
                    .filter_map(|(node, port)| Some((node, port?)))
                    .collect(),
                ttl,
                trouble,
                notices: self
                    .names
                    .iter()
                    .flat_map(|state| state.notices.clone())
                    .collect(),
            }),
        }
    }

    /// What stands after the `@` of the node there.
    fn host_part(&self, host: &Host) -> Option<String> {
        if let Some(template) = &self.template {
            return template.expand(host.address, host.name.as_deref());
        }
        match self.host_type {
            HostType::Ip => host.address.map(|address| address.to_string()),
            HostType::Hostname => {
                let name = host.name.as_deref()?;
                let short = self.own.as_ref().is_some_and(|own| !own.is_long());
                Some(if short { first_label(name) } else { name }.to_owned())
            }
        }
    }

    /// Whether the name was just found to have records of another type, so that it exists even where a
    /// server denies it: RFC 4074, section 4.2.
    fn has_other_records(&self, denied: &State) -> bool {
        self.names.iter().any(|state| {
            state.watched.text == denied.watched.text
                && state.watched.record_type != denied.watched.record_type
                && state.fresh
        })
    }
}

/// Nodes, and on which ports they listen.
#[derive(Default)]
struct Nodes {
    /// By their names in small letters: host names that differ in case only are one host.
    nodes: BTreeMap<String, NodeName>,
    /// `None` stands for a node with several ports.
    ports: HashMap<NodeName, Option<u16>>,
}

impl Nodes {
    /// Adds the nodes behind a name. `host_part` says what stands after the `@` of one.
    fn add(&mut self, state: &State, host_part: impl Fn(&Host) -> Option<String>) {
        let Watched { app, text, .. } = &state.watched;
        for host in state.known.iter().flat_map(|(_, hosts)| hosts) {
            if let Some(address) = host.address
                && let Some(reason) = unusable(address)
            {
                tracing::debug!("{address} of {text} is left out: it is {reason}");
                continue;
            }
            let Some(part) = host_part(host) else {
                continue;
            };
            match NodeName::new(app, &part) {
                Ok(node) => self.insert(app, &part, node, host.port),
                Err(invalid) => tracing::debug!("{part} of {text} is left out: {invalid}"),
            }
        }
    }

    fn insert(&mut self, app: &str, host: &str, node: NodeName, port: Option<u16>) {
        let same = self
            .nodes
            .entry(format!("{app}@{}", host.to_lowercase()))
            .or_insert_with(|| node.clone());
        // Small letters come after capitals, and are what most nodes have in their names.
        if node > *same {
            let other = self.ports.remove(same);
            if let Some(other) = other {
                self.ports.insert(node.clone(), other);
            }
            *same = node;
        }
        if let Some(port) = port {
            self.ports
                .entry(same.clone())
                .and_modify(|other| *other = other.filter(|other| *other == port))
                .or_insert(Some(port));
        }
    }
}

/// From how many further failures on only their number is told.
const MANY: usize = 3;

/// Several failures in one sentence: of many names only the first is told, or a line would be as long as a page.
fn several(troubles: &[String], names: usize) -> String {
    match troubles {
        [first, rest @ ..] if rest.len() >= MANY => format!(
            "{} of {names} names failed: {first}; and {} more",
            troubles.len(),
            rest.len()
        ),
        few => few.join("; "),
    }
}

impl State {
    fn learn(&mut self, done: Done, timeout: Duration, hosts_file: Option<&Path>) {
        self.failure = None;
        let listed = done.parts.iter().any(|(part, known)| {
            part.origin == Origin::HostsFile && known.as_ref().is_ok_and(|hosts| !hosts.is_empty())
        });
        self.notices = self.notices(&done, hosts_file.filter(|_| listed));
        let of_servers = || {
            let parts = done.parts.iter();
            parts.filter(|(part, _)| part.origin == Origin::NameServers)
        };
        let text = &self.watched.text;
        let types = of_servers().count();
        let all_failed = of_servers().all(|(_, known)| known.is_err());
        self.denied = of_servers().all(|(_, known)| *known == Err(Failure::NoName));
        // A name that stands in the hosts file only.
        let unknown_to_servers = self.denied && listed && self.answered.is_none();
        for (part, known) in done.parts {
            match known {
                Ok(hosts) => {
                    self.fresh |= part.origin == Origin::NameServers || !hosts.is_empty();
                    self.known.retain(|(other, _)| *other != part);
                    self.known.push((part, hosts));
                }
                Err(_) if unknown_to_servers => {}
                Err(failure) => {
                    let what = if all_failed || types == 1 {
                        text.clone()
                    } else {
                        // That one type fails again and again is how some name servers are.
                        format!("{} records of {text}", part.record_type)
                    };
                    self.failure
                        .get_or_insert_with(|| failure.explain(&what, &done.asked, timeout));
                }
            }
        }
        if let Some((first, failure)) = done.missing.first() {
            let count = done.missing.len();
            let explained = failure.explain(first, &done.asked, timeout);
            self.failure.get_or_insert_with(|| {
                format!("{text} leads to {count} that could not be resolved, first {explained}")
            });
        }
        self.memory = Arc::new(done.memory);
        if self.fresh {
            self.ttl = done.ttl;
            self.answered = done.answered.or(self.answered.take());
        }
    }

    /// What the user should know about an answer. `hosts_file` has a part in it.
    fn notices(&self, done: &Done, hosts_file: Option<&Path>) -> Vec<Notice> {
        let text = &self.watched.text;
        let mut notices = Vec::new();
        if let Some(path) = hosts_file {
            notices.push(Notice {
                about: format!("{text} in the hosts file"),
                text: format!(
                    "{text} has an entry in {}, which counts beside what the name servers say; give nameservers to \
                     leave the file out",
                    path.display()
                ),
            });
        }
        if let Some(owner) = &done.foreign {
            notices.push(Notice {
                about: format!("{text} has a foreign owner"),
                text: format!(
                    "{text}: the answer of {} is about {}, not about this name, as from a server that rewrites \
                     questions; its records count nevertheless",
                    done.asked,
                    owner.to_ascii()
                ),
            });
        }
        if let Some(first) = done.ambiguous.first() {
            let more = match done.ambiguous.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} other addresses have several)"),
            };
            notices.push(Notice {
                about: format!("{text} has ambiguous addresses"),
                text: format!(
                    "{text}: the address {} has several names (PTR): {}; {} is taken{more}. If that is wrong, look \
                     the nodes up by SRV records, or set host_template",
                    first.address,
                    first.names.join(", "),
                    first.taken
                ),
            });
        }
        notices
    }
}

/// Whether a node called `app` at an address could only be the own one, so that an entry of the hosts file with
/// this address says nothing about peers.
fn is_own(address: IpAddr, own: Option<&NodeName>, app: &str) -> bool {
    let Some(own) = own.filter(|own| own.name() == app) else {
        return false;
    };
    match own.host().parse::<IpAddr>().map(|own| own.to_canonical()) {
        // Nodes that have loopback addresses are on one machine, each at another of them.
        Ok(own) if own.is_loopback() => own == address,
        Ok(own) if own == address => true,
        _ => is_local(address),
    }
}

/// Why no node can be reached at an address.
fn unusable(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        // DNS cannot say the zone without which a link-local address leads nowhere: RFC 4007, section 6.
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("link-local, without its zone"),
        _ => None,
    }
}

impl Poll for Dns {
    fn kind(&self) -> &'static str {
        "dns"
    }

    async fn poll(&mut self) -> Result<Answer, PollError> {
        self.start();
        self.wait(Some(PATIENCE)).await;
        self.answer()
    }
}
