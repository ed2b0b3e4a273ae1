//! What the records of an answer mean to us.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A and AAAA: RFC 1035, section 3.4.1, and RFC 3596.
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
    /// How long the items hold, if anybody said so.
    pub ttl: Option<Duration>,
}

impl Records {
    /// What the answer says of `record_type`, whatever name the records have: for answers in which aliases
    /// have been followed.
    pub fn read(answers: &[Record], additionals: &[Record], record_type: RecordType) -> Self {
        let items = answers
            .iter()
            .filter(|record| record.record_type() == record_type)
            .filter_map(|record| item(&record.data))
            .collect();
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
        }
    }

    /// Keeps of an answer what belongs to `name` and to what it is an alias for, and gives the last of these
    /// names.
    pub fn follow(name: &Name, answers: &mut Vec<Record>) -> Name {
        let mut owners = vec![name.clone()];
        while let Some(next) = alias(&owners[owners.len() - 1], answers) {
            if owners.contains(next) {
                break;
            }
            owners.push(next.clone());
        }
        answers.retain(|record| owners.contains(&record.name));
        owners.pop().unwrap_or_else(|| name.clone())
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
        RData::AAAA(address) => Item::Address(IpAddr::V6(address.0)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    #[test]
    fn aliases_are_followed_and_strangers_left_out() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let alias = |from: &str, to: &str, ttl| {
            Record::from_rdata(name(from), ttl, RData::CNAME(CNAME(name(to))))
        };
        let address = |of: &str, last, ttl| {
            Record::from_rdata(name(of), ttl, RData::A(A::new(10, 0, 0, last)))
        };
        let mut answers = vec![
            address("stranger.test.", 9, 1),
            address("C.test.", 1, 30),
            alias("b.test.", "c.test.", 7),
            alias("a.test.", "b.test.", 20),
        ];
        assert_eq!(
            Records::follow(&name("a.test."), &mut answers),
            name("c.test.")
        );
        let records = Records::read(&answers, &[], RecordType::A);
        assert_eq!(records.items, [Item::Address("10.0.0.1".parse().unwrap())]);
        assert_eq!(records.ttl, Some(Duration::from_secs(7)));

        let mut circle = vec![
            alias("a.test.", "b.test.", 1),
            alias("b.test.", "a.test.", 1),
        ];
        Records::follow(&name("a.test."), &mut circle);
        assert_eq!(circle.len(), 2);
    }
}
