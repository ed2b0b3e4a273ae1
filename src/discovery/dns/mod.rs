//! The `dns` provider: the nodes behind a DNS name, one for each of its addresses.
//!
//! `shop.internal` with the addresses `10.0.0.7` and `10.0.0.8` names the nodes `shop@10.0.0.7` and
//! `shop@10.0.0.8`; what stands before the `@` is `app_name`, by default the own node's. The nodes have to
//! be named by their addresses in the same way.
//!
//! - A and AAAA are asked for at once; [`DnsConfig::ipv6`] says which.
//! - The system's hosts file comes first, then its name servers, or those given, by UDP (RFC 1035, with
//!   EDNS, RFC 6891) and by TCP where the answer does not fit. Search domains hold for names without a dot at
//!   their end.
//! - No answer is cached here. The pace is that of [`Pace`](super::polling::Pace): quick while answers change,
//!   then by their time to live.
//!
//! # What counts as an answer
//!
//! | the server says | that means |
//! | --- | --- |
//! | addresses | these nodes and no others |
//! | the name has no addresses (NODATA) | nobody |
//! | the name does not exist (NXDOMAIN) | a failure: the name may be misspelt, its zone may be half loaded; a Kubernetes headless service loses its name while none of its pods is *ready*, though they run and are connected |
//! | SERVFAIL, REFUSED, another error, silence | a failure |
//!
//! A failure removes nothing. Each name and each family keeps what it last said until it says something
//! else, and one that fails does not hold back the others.

mod config;
mod failure;
mod lookup;
mod servers;
mod system;

pub use config::{DnsConfig, DnsName, HostType, InvalidDnsConfig, RecordType, SystemFiles};

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::polling::{Answer, Poll, PollError, Polling};
use super::{Context, Provider};
use crate::name::NodeName;
use config::{Family, Target, Watched};
use failure::Failure;
use lookup::{Looked, look_up};
use system::System;

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
    let interval = config.interval;
    Ok(Box::new(Polling::new(Dns::new(config, context)?, interval)))
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
    families: &'static [Family],
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
    /// Each family's last answer.
    known: Vec<(Family, Vec<IpAddr>)>,
    /// The full name that had the addresses.
    answered: Option<Name>,
    ttl: Option<Duration>,
    /// What the last lookup could not find out: the cause and the remedy.
    failure: Option<String>,
    /// Whether the last lookup found out anything.
    fresh: bool,
    pending: bool,
}

/// What comes of a lookup: what was found, and of whom it was asked.
struct Done {
    looked: Looked,
    asked: String,
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
                answered: None,
                ttl: None,
                failure: None,
                fresh: false,
                pending: false,
            })
            .collect();
        Ok(Self {
            names,
            families: checked.families,
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
            let name = match &state.watched.target {
                Target::Name(name) => name.clone(),
                Target::Address(address) => {
                    state.known = vec![(Family::of(*address), vec![*address])];
                    state.fresh = true;
                    continue;
                }
            };
            let servers = match &servers {
                Ok(servers) => servers.clone(),
                Err(error) => {
                    state.failure = Some(format!("{}: {error}", state.watched.text));
                    continue;
                }
            };
            let hosts = hosts.clone();
            let families = self.families;
            let answered = state.answered.clone();
            let limit = self.lookup_timeout;
            let task = self.lookups.spawn(async move {
                let looking = look_up(&name, families, &hosts, &servers, answered.as_ref());
                let looked = timeout(limit, looking)
                    .await
                    .unwrap_or_else(|_| Looked::failed(families, &Failure::Silent));
                Done {
                    looked,
                    asked: servers.asked().to_owned(),
                }
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
            Ok(done) => state.learn(done, self.lookup_timeout),
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
        let mut nodes = Vec::new();
        let mut ttl: Option<Duration> = None;
        for state in &self.names {
            if let Some(failure) = &state.failure {
                troubles.push(failure.clone());
            } else if state.pending {
                troubles.push(format!("{}: no answer yet", state.watched.text));
            }
            if let Some(other) = state.ttl {
                ttl = Some(ttl.map_or(other, |ttl| ttl.min(other)));
            }
            state.nodes(&mut nodes);
        }
        let trouble = (!troubles.is_empty()).then(|| PollError(troubles.join("; ")));
        match trouble {
            Some(trouble) if !self.names.iter().any(|state| state.fresh) => Err(trouble),
            trouble => Ok(Answer {
                nodes,
                ports: Vec::new(),
                ttl,
                trouble,
            }),
        }
    }
}

impl State {
    fn learn(&mut self, done: Done, timeout: Duration) {
        let Done { looked, asked } = done;
        self.failure = None;
        let families = looked.families.len();
        let all_failed = looked.families.iter().all(|(_, known)| known.is_err());
        for (family, known) in looked.families {
            match known {
                Ok(addresses) => {
                    self.fresh = true;
                    self.known.retain(|(other, _)| *other != family);
                    self.known.push((family, addresses));
                }
                Err(failure) => {
                    let text = &self.watched.text;
                    let what = if all_failed || families == 1 {
                        text.clone()
                    } else {
                        // That one family fails again and again is how some name servers are.
                        format!("{} records of {text}", family.record())
                    };
                    self.failure
                        .get_or_insert_with(|| failure.explain(&what, &asked, timeout));
                }
            }
        }
        if self.fresh {
            self.ttl = looked.ttl;
            self.answered = looked.answered.or(self.answered.take());
        }
    }

    fn nodes(&self, nodes: &mut Vec<NodeName>) {
        let Watched { app, text, .. } = &self.watched;
        for address in self.known.iter().flat_map(|(_, addresses)| addresses) {
            if let Some(reason) = unusable(*address) {
                tracing::debug!("{address} of {text} is left out: it is {reason}");
                continue;
            }
            match NodeName::new(app, &address.to_string()) {
                Ok(node) => nodes.push(node),
                Err(invalid) => tracing::debug!("{address} of {text} is left out: {invalid}"),
            }
        }
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
