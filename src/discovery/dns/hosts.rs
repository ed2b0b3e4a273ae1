//! From what a name's records say to the hosts of nodes: targets to addresses, addresses to names.
//!
//! All that has to be asked for this is asked side by side. Each answer is kept for its time to live, so
//! that a name with a short one and targets with long ones does not mean a thousand questions a second; and
//! one that cannot be had again holds for as long as the records lead to it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::burst::Question;
use super::config::{Family, HostType};
use super::failure::Failure;
use super::naming::Fitting;
use super::records::{Item, Records};
use super::servers::{Reply, Servers};
use crate::epmd;

/// How long an answer holds that does not say so.
const UNSAID: Duration = Duration::from_secs(1);

/// Where a node is, as the records say. It has an address or a name, or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Host {
    pub address: Option<IpAddr>,
    pub name: Option<String>,
    pub port: Option<u16>,
}

impl Host {
    /// A host that is known by its address only.
    pub fn at(address: IpAddr) -> Self {
        Self {
            address: Some(address),
            name: None,
            port: None,
        }
    }
}

/// What was found out about targets and addresses.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(HashMap<Question, Held>);

#[derive(Debug, Clone)]
struct Held {
    items: Vec<Item>,
    until: Instant,
}

impl Memory {
    /// Takes over what the other one holds.
    pub fn keep(&mut self, other: &Self) {
        let held = other.0.iter();
        self.0
            .extend(held.map(|(question, held)| (question.clone(), held.clone())));
    }
}

/// What records come to.
#[derive(Debug, Default)]
pub(super) struct Led {
    pub hosts: Vec<Host>,
    /// When the first of the answers on the way runs out.
    pub ttl: Option<Duration>,
    /// What was not found out, and why.
    pub failures: Vec<(String, Failure)>,
    /// The addresses with several names, and which of them was taken.
    pub ambiguous: Vec<Ambiguous>,
    pub memory: Memory,
}

/// An address that has several names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ambiguous {
    pub address: IpAddr,
    pub names: Vec<String>,
    pub taken: String,
}

/// What is needed on the way from records to hosts.
pub(super) struct Way<'a> {
    pub host_type: HostType,
    pub families: &'static [Family],
    pub hosts: &'a Hosts,
    pub servers: &'a Arc<Servers>,
    /// Which of several names of an address is taken.
    pub fitting: Fitting<'a>,
    /// What was found out before.
    pub memory: &'a Memory,
    /// The time that the question for the records took.
    pub usual: Duration,
    pub deadline: Instant,
}

impl Way<'_> {
    /// Goes from the records of one name to hosts. What is not found out by the deadline fails.
    pub async fn lead(&self, records: &Records) -> Led {
        let mut seen = HashSet::new();
        let questions: Vec<Question> = records
            .items
            .iter()
            .flat_map(|item| self.questions(item))
            .filter(|question| seen.insert(question.clone()))
            .collect();
        let mut led = Led::default();
        let mut known = self.known_already(&questions, records);
        let asked: Vec<_> = questions
            .into_iter()
            .filter(|question| !known.contains_key(question))
            .collect();
        let replies = self
            .servers
            .ask_many(asked.clone(), self.usual, self.deadline)
            .await;
        let now = Instant::now();
        let mut failed = HashMap::new();
        for (question, reply) in asked.into_iter().zip(replies) {
            let (items, ttl) = match reply {
                Ok(Reply::Found(records)) => (records.items, records.ttl),
                reply => match (self.last_resort(&question), reply) {
                    (Some(items), _) => (items, None),
                    (None, Ok(Reply::NoData { ttl })) => (Vec::new(), ttl),
                    (None, Err(failure)) => {
                        failed.insert(question, failure);
                        continue;
                    }
                    (None, Ok(_)) => {
                        failed.insert(question, Failure::NoName);
                        continue;
                    }
                },
            };
            let until = now + ttl.unwrap_or(UNSAID);
            known.insert(question, Held { items, until });
        }
        for item in &records.items {
            self.hosts_of(item, &known, &mut failed, &mut led);
        }
        // Of what failed, what was known before holds, but is asked for again the next time.
        led.ttl = known.values().map(|held| held.until - now).min();
        led.memory.0 = known;
        for question in failed.keys() {
            if let Some(held) = self.memory.0.get(question) {
                led.memory.0.insert(question.clone(), held.clone());
            }
        }
        led
    }

    /// A loopback address in the hosts file, where no name server has given another one.
    fn last_resort(&self, question: &Question) -> Option<Vec<Item>> {
        if self.memory.0.contains_key(question) {
            return None;
        }
        in_hosts(question, self.hosts)
    }

    /// What has to be known about an item.
    fn questions(&self, item: &Item) -> Vec<Question> {
        match (item, self.host_type) {
            // The target "." says that there is no service (RFC 2782), and makes no node name either.
            (Item::Service { target, .. }, HostType::Ip) if !target.is_root() => self
                .families
                .iter()
                .map(|family| (target.clone(), family.record_type()))
                .collect(),
            (Item::Address(address), HostType::Hostname) => {
                vec![(Name::from(*address), RecordType::PTR)]
            }
            _ => Vec::new(),
        }
    }

    /// What needs no server: it stands in the hosts file, came along unasked, or was found out before and
    /// still holds.
    fn known_already(&self, questions: &[Question], records: &Records) -> HashMap<Question, Held> {
        let now = Instant::now();
        let mut glue: HashMap<Question, Held> = HashMap::new();
        for (name, address, ttl) in &records.glue {
            let question = (name.clone(), Family::of(*address).record_type());
            let until = now + *ttl;
            let held = glue.entry(question).or_insert_with(|| Held {
                items: Vec::new(),
                until,
            });
            held.items.push(Item::Address(*address));
            held.until = held.until.min(until);
        }
        questions
            .iter()
            .filter_map(|question| {
                let held = in_hosts(question, self.hosts)
                    // Debian's installer writes 127.0.1.1 beside a machine's own name; its peers know better.
                    .filter(|items| !items.iter().all(is_loopback))
                    .map(|items| {
                        let until = now + UNSAID;
                        Held { items, until }
                    })
                    .or_else(|| glue.remove(question))
                    .or_else(|| {
                        let held = self.memory.0.get(question)?;
                        (held.until > now).then(|| held.clone())
                    })?;
                Some((question.clone(), held))
            })
            .collect()
    }

    /// The hosts that an item leads to.
    fn hosts_of(
        &self,
        item: &Item,
        known: &HashMap<Question, Held>,
        failed: &mut HashMap<Question, Failure>,
        led: &mut Led,
    ) {
        let questions = self.questions(item);
        let now: Vec<_> = questions.iter().filter_map(|q| known.get(q)).collect();
        let found = now.iter().any(|held| !held.items.is_empty());
        for question in &questions {
            match failed.get(question) {
                // One family is enough, and some servers deny a name that has only the other: RFC 4074, 4.2.
                Some(Failure::NoName) if found => {
                    failed.remove(question);
                }
                Some(failure) => {
                    let mut what = question.0.to_ascii();
                    if let Item::Address(address) = item {
                        what = format!("{address} ({what})");
                    }
                    led.failures.push((what, failure.clone()));
                }
                None => {}
            }
        }
        let before = questions
            .iter()
            .filter(|question| failed.contains_key(question))
            .filter_map(|question| self.memory.0.get(question));
        let items = now.into_iter().chain(before).flat_map(|held| &held.items);
        match item {
            Item::Address(address) if self.host_type == HostType::Ip => {
                led.hosts.push(Host::at(*address));
            }
            Item::Address(address) => {
                let names: BTreeSet<_> = items
                    .filter_map(|item| match item {
                        Item::Name(name) => Some(text(name)),
                        _ => None,
                    })
                    .collect();
                let Some(taken) = self
                    .fitting
                    .best(*address, names.iter().map(String::as_str))
                    .map(str::to_owned)
                else {
                    return;
                };
                led.hosts.push(Host {
                    name: Some(taken.clone()),
                    ..Host::at(*address)
                });
                if names.len() > 1 {
                    led.ambiguous.push(Ambiguous {
                        address: *address,
                        names: names.into_iter().collect(),
                        taken,
                    });
                }
            }
            Item::Service { target, port } => {
                let host = Host {
                    address: None,
                    name: Some(text(target)),
                    port: usable(*port),
                };
                if self.host_type == HostType::Hostname {
                    led.hosts.push(host);
                } else {
                    led.hosts.extend(items.filter_map(|item| match item {
                        Item::Address(address) => Some(Host {
                            address: Some(*address),
                            ..host.clone()
                        }),
                        _ => None,
                    }));
                }
            }
            Item::Name(_) => {}
        }
    }
}

/// The port on which a node may listen. A service that names EPMD's port, as Kubernetes' often do, says
/// nothing about the nodes'.
fn usable(port: u16) -> Option<u16> {
    (port != 0 && port != epmd::DEFAULT_PORT).then_some(port)
}

/// A name as it stands in a node's name.
fn text(name: &Name) -> String {
    let mut text = name.to_ascii();
    text.truncate(text.trim_end_matches('.').len());
    text
}

/// Whether it is an address of the machine that asks, whichever that is.
fn is_loopback(item: &Item) -> bool {
    matches!(item, Item::Address(address) if address.is_loopback())
}

/// What the hosts file says.
pub(super) fn in_hosts((name, record_type): &Question, hosts: &Hosts) -> Option<Vec<Item>> {
    let mut query = Query::query(name.to_lowercase(), *record_type);
    query.name.set_fqdn(true);
    let found = hosts.lookup_static_host(&query)?;
    let items = found
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(Item::Address(address.0.into())),
            RData::AAAA(address) => Some(Item::Address(IpAddr::V6(address.0).to_canonical())),
            RData::PTR(name) => Some(Item::Name(name.0.clone())),
            _ => None,
        });
    Some(items.collect())
}
