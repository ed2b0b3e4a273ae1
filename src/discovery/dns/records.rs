//! The records of an answer, as far as discovery needs them.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A and AAAA: RFC 1035, section 3.4.1, and RFC 3596. An IPv4-mapped IPv6 address (RFC 4291, section
    /// 2.5.5.2) is the IPv4 address.
    Address(IpAddr),
    /// SRV, without priority and weight, since every target is a peer: RFC 2782.
    Service { target: Name, port: u16 },
    /// PTR: RFC 1035, section 3.3.12.
    Name(Name),
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Records {
    pub items: Vec<Item>,
    /// Addresses that the server added unasked, with the time for which each holds.
    pub glue: Vec<(Name, IpAddr, Duration)>,
    /// How long the items hold, if the answer says so.
    pub ttl: Option<Duration>,
    /// An owner of records that is neither the name that was asked for nor one that it is an alias for.
    pub foreign: Option<Name>,
}

impl Records {
    /// Reads all records of `record_type` in an answer to a question for `name`, whatever their owner, as
    /// OTP's `inet_res:lookup/3` does.
    pub fn read(
        name: &Name,
        record_type: RecordType,
        answers: &[Record],
        additionals: &[Record],
    ) -> Self {
        let owners = aliases(name, answers).owners;
        let mut foreign = None;
        let mut items = Vec::new();
        for record in answers {
            if record.dns_class != DNSClass::IN || record.record_type() != record_type {
                continue;
            }
            if let Some(item) = item(&record.data) {
                if !owners.contains(&record.name) {
                    foreign.get_or_insert_with(|| record.name.clone());
                }
                items.push(item);
            }
        }
        let glue = additionals
            .iter()
            .filter_map(|record| match item(&record.data) {
                Some(Item::Address(address)) => {
                    Some((record.name.clone(), address, seconds(record.ttl)))
                }
                _ => None,
            })
            .collect();
        Self {
            items,
            glue,
            // An alias on the way (CNAME) can run out before the rest does.
            ttl: answers.iter().map(|record| seconds(record.ttl)).min(),
            foreign,
        }
    }
}

/// A chain of aliases in one answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Aliases {
    /// The first name and what it is an alias for, in order. At least one.
    pub owners: Vec<Name>,
    /// The last alias leads back to one of these.
    pub circular: bool,
}

/// Follows the aliases of `name` in an answer.
pub(super) fn aliases(name: &Name, answers: &[Record]) -> Aliases {
    let mut owners = vec![name.clone()];
    while let Some(next) = alias(&owners[owners.len() - 1], answers) {
        if owners.contains(next) {
            return Aliases {
                owners,
                circular: true,
            };
        }
        owners.push(next.clone());
    }
    Aliases {
        owners,
        circular: false,
    }
}

/// What `name` is an alias for.
fn alias<'a>(name: &Name, answers: &'a [Record]) -> Option<&'a Name> {
    answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *name => Some(&target.0),
        _ => None,
    })
}

fn item(data: &RData) -> Option<Item> {
    Some(match data {
        RData::A(address) => Item::Address(IpAddr::V4(address.0)),
        RData::AAAA(address) => Item::Address(IpAddr::V6(address.0).to_canonical()),
        RData::SRV(srv) => Item::Service {
            target: srv.target.clone(),
            port: srv.port,
        },
        RData::PTR(name) => Item::Name(name.0.clone()),
        _ => return None,
    })
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}
