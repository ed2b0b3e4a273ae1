//! One name's lookup: hosts, search domains, both families at once.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::timeout;

use super::config::Family;
use super::failure::Failure;
use super::servers::{Reply, Servers};

/// How long to wait for one family once the other has given addresses. Some firewalls and name servers
/// drop questions for AAAA (RFC 4074, section 4.1); they shall not hold up the answer to the other.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a lookup found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// Each family's addresses, or why they are not known.
    pub families: Vec<(Family, Result<Vec<IpAddr>, Failure>)>,
    /// How long the answer holds, if anybody said so.
    pub ttl: Option<Duration>,
    /// The full name that has the addresses, if a server gave them.
    pub answered: Option<Name>,
}

impl Looked {
    /// Nothing was found out.
    pub fn failed(families: &[Family], failure: &Failure) -> Self {
        Self::all(families, Err(failure.clone()))
    }

    fn all(families: &[Family], result: Result<Vec<IpAddr>, Failure>) -> Self {
        Self {
            families: families.iter().map(|&f| (f, result.clone())).collect(),
            ..Self::default()
        }
    }
}

/// Looks a name up. `answered` is the full name that had the addresses before: while that one cannot be
/// asked, no other takes its place.
///
/// The first full name with an address in any family decides. Without one, "could not be asked" counts
/// more than "has no addresses", and that more than "does not exist".
pub(super) async fn look_up(
    name: &Name,
    families: &[Family],
    hosts: &Hosts,
    servers: &Servers,
    answered: Option<&Name>,
) -> Looked {
    if let Some(found) = in_hosts(name, families, hosts) {
        return found;
    }
    let mut failed = None;
    let mut empty = None;
    for full in servers.candidates(name) {
        let replies = ask_all(&full, families, servers).await;
        if replies
            .iter()
            .any(|(_, reply)| matches!(reply, Ok(Reply::Found { .. })))
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
                Ok(Reply::NoName | Reply::Found { .. }) => {}
            }
        }
        if cannot_say && answered == Some(&full) {
            break;
        }
    }
    match (failed, empty) {
        (Some(failure), _) => Looked::failed(families, &failure),
        (None, Some(ttl)) => Looked {
            ttl,
            ..Looked::all(families, Ok(Vec::new()))
        },
        (None, None) => Looked::failed(families, &Failure::NoName),
    }
}

/// A full name has addresses in one family at least. What is missing in the other is then no failure,
/// even where the server denies the name altogether (RFC 4074, section 4.2).
fn found(full: Name, replies: Vec<(Family, Result<Reply, Failure>)>) -> Looked {
    let mut ttl: Option<Duration> = None;
    let mut shorten = |other: Option<Duration>| {
        ttl = match (ttl, other) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    };
    let families = replies
        .into_iter()
        .map(|(family, reply)| {
            let known = reply.map(|reply| match reply {
                Reply::Found { addresses, ttl } => {
                    shorten(Some(ttl));
                    addresses
                }
                Reply::NoData { ttl } => {
                    shorten(ttl);
                    Vec::new()
                }
                Reply::NoName => Vec::new(),
            });
            (family, known)
        })
        .collect();
    Looked {
        families,
        ttl,
        answered: Some(full),
    }
}

async fn ask_all(
    full: &Name,
    families: &[Family],
    servers: &Servers,
) -> Vec<(Family, Result<Reply, Failure>)> {
    let &[one, other] = families else {
        let mut replies = Vec::with_capacity(families.len());
        for &family in families {
            replies.push((family, servers.ask(full, family).await));
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
    if matches!(first, Ok(Reply::Found { .. })) {
        timeout(PATIENCE, second)
            .await
            .unwrap_or(Err(Failure::Silent))
    } else {
        second.await
    }
}

/// What the hosts file says, if it knows the name in any family.
fn in_hosts(name: &Name, families: &[Family], hosts: &Hosts) -> Option<Looked> {
    let addresses = |record_type| {
        let mut query = Query::query(name.to_lowercase(), record_type);
        query.name.set_fqdn(true);
        let found = hosts.lookup_static_host(&query)?;
        let addresses = found.answers().iter().map(|record| record.data.ip_addr());
        Some(addresses.flatten().collect::<Vec<_>>())
    };
    let (v4, v6) = (addresses(RecordType::A), addresses(RecordType::AAAA));
    if v4.is_none() && v6.is_none() {
        return None;
    }
    let families = families
        .iter()
        .map(|&family| {
            let known = match family {
                Family::V4 => &v4,
                Family::V6 => &v6,
            };
            (family, Ok(known.clone().unwrap_or_default()))
        })
        .collect();
    Some(Looked {
        families,
        ..Looked::default()
    })
}
