//! One name's lookup: hosts, search domains, several types of records at once.

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

/// What a lookup found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// The records of each type, or why they are not known.
    pub parts: Vec<(RecordType, Result<Records, Failure>)>,
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
        let record_type = Family::of(address).record_type();
        Self {
            parts: vec![(record_type, Ok(records))],
            ..Self::default()
        }
    }

    /// Nothing was found out.
    pub fn failed(types: &[RecordType], failure: &Failure) -> Self {
        Self::all(types, Err(failure.clone()))
    }

    fn all(types: &[RecordType], result: Result<Records, Failure>) -> Self {
        Self {
            parts: types.iter().map(|&t| (t, result.clone())).collect(),
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
    hosts: &Hosts,
    servers: &Servers,
    answered: Option<&Name>,
) -> Looked {
    if let Some(found) = found_in_hosts(name, types, hosts) {
        return found;
    }
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
            (record_type, known)
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

/// What the hosts file says, if it knows the name in any family.
fn found_in_hosts(name: &Name, types: &[RecordType], hosts: &Hosts) -> Option<Looked> {
    let items = |record_type| in_hosts(&(name.clone(), record_type), hosts);
    if items(RecordType::A).is_none() && items(RecordType::AAAA).is_none() {
        return None;
    }
    let parts = types.iter().map(|&record_type| {
        let items = items(record_type).unwrap_or_default();
        let records = Records {
            items,
            ..Records::default()
        };
        (record_type, Ok(records))
    });
    Some(Looked {
        parts: parts.collect(),
        ..Looked::default()
    })
}
