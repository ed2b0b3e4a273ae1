//! One name's lookup: search domains, several types of records at once, and what the hosts file says.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::timeout;

use super::config::Family;
use super::failure::Failure;
use super::hosts::in_hosts;
use super::records::{Item, Records};
use super::servers::{Reply, Servers};

/// How long to wait for one type of records once the other is there. Some firewalls and name servers
/// drop questions for AAAA (RFC 4074, section 4.1); they shall not hold up the answer to the other.
const PATIENCE: Duration = Duration::from_secs(1);

/// A part of what is known of a name: it keeps what it said until it says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub record_type: RecordType,
    pub origin: Origin,
}

/// Who knows about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    NameServers,
    HostsFile,
}

impl Part {
    pub fn of_servers(record_type: RecordType) -> Self {
        Self {
            record_type,
            origin: Origin::NameServers,
        }
    }
}

/// What a lookup found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// The records of each type, or why they are not known.
    pub parts: Vec<(Part, Result<Records, Failure>)>,
    /// How long the answer holds, if anybody said so.
    pub ttl: Option<Duration>,
    /// The full name that has the records, if a server gave them.
    pub answered: Option<Name>,
}

impl Looked {
    /// An address stands for itself.
    pub fn address(address: IpAddr) -> Self {
        let records = Records {
            items: vec![Item::Address(address)],
            ..Records::default()
        };
        let part = Part::of_servers(Family::of(address).record_type());
        Self {
            parts: vec![(part, Ok(records))],
            ..Self::default()
        }
    }

    /// Nothing was found out.
    pub fn failed(types: &[RecordType], failure: &Failure) -> Self {
        Self::all(types, Err(failure.clone()))
    }

    fn all(types: &[RecordType], result: Result<Records, Failure>) -> Self {
        Self {
            parts: types
                .iter()
                .map(|&record_type| (Part::of_servers(record_type), result.clone()))
                .collect(),
            ..Self::default()
        }
    }
}

/// Looks a name up. `answered` is the full name that had the records before: while that one cannot be
/// asked, no other takes its place.
///
/// The first full name with a record of any of the types decides. Without one, "could not be asked" counts
/// more than "has no records", and that more than "does not exist".
pub(super) async fn look_up(
    name: &Name,
    types: &[RecordType],
    servers: &Servers,
    answered: Option<&Name>,
) -> Looked {
    let mut failed = None;
    let mut empty = None;
    for full in servers.candidates(name) {
        let replies = ask_all(&full, types, servers).await;
        if replies
            .iter()
            .any(|(_, reply)| matches!(reply, Ok(Reply::Found(_))))
        {
            return found(full, replies);
        }
        let mut cannot_say = false;
        for (_, reply) in replies {
            match reply {
                Err(failure) => {
                    cannot_say = true;
                    failed.get_or_insert(failure);
                }
                Ok(Reply::NoData { ttl }) => {
                    empty.get_or_insert(ttl);
                }
                Ok(Reply::NoName | Reply::Found(_)) => {}
            }
        }
        if cannot_say && answered == Some(&full) {
            break;
        }
    }
    match (failed, empty) {
        (Some(failure), _) => Looked::failed(types, &failure),
        (None, Some(ttl)) => Looked {
            ttl,
            ..Looked::all(types, Ok(Records::default()))
        },
        (None, None) => Looked::failed(types, &Failure::NoName),
    }
}

/// A full name has records of one type at least. What is missing of the other is then no failure, even
/// where the server denies the name altogether (RFC 4074, section 4.2).
fn found(full: Name, replies: Vec<(RecordType, Result<Reply, Failure>)>) -> Looked {
    let mut ttls = Vec::new();
    let parts = replies
        .into_iter()
        .map(|(record_type, reply)| {
            let known = reply.map(|reply| match reply {
                Reply::Found(records) => {
                    ttls.extend(records.ttl);
                    records
                }
                Reply::NoData { ttl } => {
                    ttls.extend(ttl);
                    Records::default()
                }
                Reply::NoName => Records::default(),
            });
            (Part::of_servers(record_type), known)
        })
        .collect();
    Looked {
        parts,
        ttl: ttls.into_iter().min(),
        answered: Some(full),
    }
}

async fn ask_all(
    full: &Name,
    types: &[RecordType],
    servers: &Servers,
) -> Vec<(RecordType, Result<Reply, Failure>)> {
    let &[one, other] = types else {
        let mut replies = Vec::with_capacity(types.len());
        for &record_type in types {
            replies.push((record_type, servers.ask(full, record_type).await));
        }
        return replies;
    };
    let mut ask_one = pin!(servers.ask(full, one));
    let mut ask_other = pin!(servers.ask(full, other));
    tokio::select! {
        reply = &mut ask_one => {
            let second = patiently(&reply, ask_other).await;
            vec![(one, reply), (other, second)]
        }
        reply = &mut ask_other => {
            let second = patiently(&reply, ask_one).await;
            vec![(one, second), (other, reply)]
        }
    }
}

async fn patiently(
    first: &Result<Reply, Failure>,
    second: impl Future<Output = Result<Reply, Failure>>,
) -> Result<Reply, Failure> {
    if matches!(first, Ok(Reply::Found(_))) {
        timeout(PATIENCE, second)
            .await
            .unwrap_or(Err(Failure::Silent))
    } else {
        second.await
    }
}

/// What the hosts file says about a name: a part for each type of address that is asked for. They are empty if
/// the file does not know the name, or if `is_own` holds for all addresses that it has for it: then the entry
/// is the one by which a machine finds itself (Docker and Kubernetes write one into each container), and says
/// nothing about who else there is.
pub(super) fn in_hosts_file(
    name: &Name,
    types: &[RecordType],
    hosts: &Hosts,
    is_own: impl Fn(IpAddr) -> bool,
) -> Vec<(Part, Records)> {
    let items = |record_type| in_hosts(&(name.clone(), record_type), hosts).unwrap_or_default();
    let own_only = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .flat_map(items)
        .all(|item| matches!(item, Item::Address(address) if is_own(address)));
    types
        .iter()
        .filter(|record_type| record_type.is_ip_addr())
        .map(|&record_type| {
            let part = Part {
                record_type,
                origin: Origin::HostsFile,
            };
            let records = Records {
                items: if own_only {
                    Vec::new()
                } else {
                    items(record_type)
                },
                ..Records::default()
            };
            (part, records)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_entry_that_is_only_the_own_address_says_nothing() {
        let mut hosts = Hosts::default();
        let file = "172.18.0.3 web\n10.0.0.7 shop\n172.18.0.3 shop\n::ffff:10.0.0.9 mapped\n";
        hosts.read_hosts_conf(file.as_bytes()).unwrap();
        let own: IpAddr = "172.18.0.3".parse().unwrap();
        let listed = |name: &str| -> Vec<String> {
            let types = [RecordType::A, RecordType::AAAA];
            let parts = in_hosts_file(&name.parse().unwrap(), &types, &hosts, |ip| ip == own);
            assert_eq!(parts.len(), 2);
            parts
                .into_iter()
                .flat_map(|(_, records)| records.items)
                .map(|item| match item {
                    Item::Address(address) => address.to_string(),
                    other => panic!("{other:?}"),
                })
                .collect()
        };
        assert_eq!(listed("web"), Vec::<String>::new());
        assert_eq!(listed("nobody"), Vec::<String>::new());
        assert_eq!(listed("Shop."), ["10.0.0.7", "172.18.0.3"]);
        assert_eq!(listed("mapped"), ["10.0.0.9"]);
    }
}
