//! What one message from a name server says about the name that it was asked for: a pure rule.
//!
//! Only an answer that is surely about the name and surely empty means "nobody". Everything else either has
//! records, leads on, or is a failure that says what is wrong.

use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, Record, RecordType};

use super::failure::Failure;
use super::records::{Records, aliases};

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Records of the type, at least one.
    Found(Records),
    /// The name is an alias, and the answer has no record of the name that it leads to: ask for that one.
    Alias { next: Name, ttl: Option<Duration> },
    /// The name exists, but has no such record: RFC 2308, section 2.2.
    NoData { ttl: Option<Duration> },
    /// The name does not exist: RFC 2308, section 2.1.
    NoName,
    /// It does not say.
    Fails(Failure),
}

/// Reads the answer to a question for the records of `record_type` of `name`.
pub(super) fn read(name: &Name, record_type: RecordType, message: &Message) -> Meaning {
    if message.metadata.truncation {
        return Meaning::Fails(Failure::Truncated);
    }
    let code = message.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Meaning::Fails(Failure::Code(code));
    }
    let answers = &message.answers;
    let records = Records::read(name, record_type, answers, &message.additionals);
    if !records.items.is_empty() {
        return Meaning::Found(records);
    }
    // A server that rewrites questions may send the rewritten name back as the alias's owner.
    let owner = |record: &&Record| record.record_type() == RecordType::CNAME;
    let first = match answers.iter().find(|record| record.name == *name) {
        Some(_) => name,
        None => answers
            .iter()
            .find(owner)
            .map_or(name, |record| &record.name),
    };
    let mut chain = aliases(first, answers);
    if let Some(next) = chain.owners.pop()
        && (chain.circular || next != *first)
    {
        return if chain.circular {
            Meaning::Fails(Failure::Circle(next))
        } else if next.is_root() {
            Meaning::Fails(Failure::AliasOfNothing)
        } else {
            Meaning::Alias {
                next,
                ttl: records.ttl,
            }
        };
    }
    let foreign = answers.iter().find(|record| record.name != *name);
    if let Some(record) = foreign
        && !answers.iter().any(|record| record.name == *name)
    {
        return Meaning::Fails(Failure::Foreign(record.name.clone()));
    }
    let authorities = &message.authorities;
    let of_type = |wanted: RecordType| move |record: &Record| record.record_type() == wanted;
    match code {
        ResponseCode::NXDomain => Meaning::NoName,
        _ if answers.is_empty()
            && authorities.iter().any(of_type(RecordType::NS))
            && !authorities.iter().any(of_type(RecordType::SOA))
            && !message.metadata.authoritative =>
        {
            Meaning::Fails(Failure::Referral)
        }
        _ => Meaning::NoData {
            ttl: negative_ttl(authorities),
        },
    }
}

/// How long "there is none" holds: RFC 2308, section 5.
fn negative_ttl(authorities: &[Record]) -> Option<Duration> {
    use hickory_resolver::proto::rr::RData;
    authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(Duration::from_secs(record.ttl.min(soa.minimum).into())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::records::Item;
    use super::*;
    use hickory_resolver::proto::op::{MessageType, OpCode};
    use hickory_resolver::proto::rr::RData;
    use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn record(owner: &str, ttl: u32, data: RData) -> Record {
        Record::from_rdata(name(owner), ttl, data)
    }

    fn alias(from: &str, to: &str, ttl: u32) -> Record {
        record(from, ttl, RData::CNAME(CNAME(name(to))))
    }

    fn address(owner: &str, last: u8, ttl: u32) -> Record {
        record(owner, ttl, RData::A(A::new(10, 0, 0, last)))
    }

    fn message(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message.add_answers(answers);
        message.add_authorities(authorities);
        message
    }

    /// What the answers say about the addresses of `app.test`.
    fn said(answers: Vec<Record>) -> Meaning {
        let message = message(ResponseCode::NoError, answers, vec![]);
        read(&name("app.test."), RecordType::A, &message)
    }

    fn items(meaning: Meaning) -> (Vec<Item>, Option<Duration>, Option<Name>) {
        match meaning {
            Meaning::Found(records) => (records.items, records.ttl, records.foreign),
            other => panic!("{other:?}"),
        }
    }

    fn ips(last: impl IntoIterator<Item = u8>) -> Vec<Item> {
        last.into_iter()
            .map(|last| Item::Address([10, 0, 0, last].into()))
            .collect()
    }

    #[test]
    fn aliases_are_followed_within_an_answer_whatever_the_case_and_the_order() {
        let (found, ttl, foreign) = items(said(vec![
            address("C.test.", 1, 30),
            alias("b.test.", "c.test.", 7),
            alias("APP.test.", "B.test.", 20),
        ]));
        assert_eq!(found, ips([1]));
        assert_eq!(ttl, Some(Duration::from_secs(7)));
        assert_eq!(foreign, None);
    }

    #[test]
    fn records_of_another_owner_count_as_inet_res_has_it_and_the_owner_is_known() {
        let (found, _, foreign) = items(said(vec![
            address("app.other.test.", 1, 1),
            address("app.other.test.", 2, 1),
        ]));
        assert_eq!(found, ips([1, 2]));
        assert_eq!(foreign, Some(name("app.other.test.")));
        // Some under the name and some not.
        let (found, _, foreign) = items(said(vec![
            address("app.test.", 1, 1),
            address("app.other.test.", 2, 1),
        ]));
        assert_eq!(found, ips([1, 2]));
        assert_eq!(foreign, Some(name("app.other.test.")));
        // The rewritten name is itself an alias.
        let (found, ..) = items(said(vec![
            alias("app.other.test.", "real.test.", 1),
            address("real.test.", 3, 1),
        ]));
        assert_eq!(found, ips([3]));
    }

    #[test]
    fn services_and_names_of_another_owner_count_too() {
        let srv = SRV::new(0, 0, 9100, name("web-0.test."));
        for (record_type, data) in [
            (RecordType::SRV, RData::SRV(srv)),
            (RecordType::PTR, RData::PTR(PTR(name("web-0.test.")))),
            (
                RecordType::AAAA,
                RData::AAAA(AAAA("fdaa::1".parse().unwrap())),
            ),
        ] {
            let answer = message(
                ResponseCode::NoError,
                vec![record("app.other.test.", 1, data)],
                vec![],
            );
            let meaning = read(&name("app.test."), record_type, &answer);
            assert_eq!(items(meaning).0.len(), 1, "{record_type}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mapped = RData::AAAA(AAAA("::ffff:10.0.0.7".parse().unwrap()));
        let answer = message(
            ResponseCode::NoError,
            vec![record("app.test.", 1, mapped)],
            vec![],
        );
        let meaning = read(&name("app.test."), RecordType::AAAA, &answer);
        assert_eq!(items(meaning).0, ips([7]));
    }

    #[test]
    fn an_alias_without_its_target_leads_on_and_one_that_goes_nowhere_fails() {
        let next = |answers| match said(answers) {
            Meaning::Alias { next, .. } => next.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(next(vec![alias("app.test.", "b.test.", 1)]), "b.test.");
        assert_eq!(
            next(vec![alias("app.other.test.", "b.test.", 1)]),
            "b.test.",
            "of a rewritten question"
        );
        for (answers, failure) in [
            (
                vec![alias("app.test.", "APP.test.", 1)],
                Failure::Circle(name("app.test.")),
            ),
            (
                vec![
                    alias("app.test.", "b.test.", 1),
                    alias("b.test.", "app.test.", 1),
                ],
                Failure::Circle(name("b.test.")),
            ),
            (vec![alias("app.test.", ".", 1)], Failure::AliasOfNothing),
        ] {
            assert_eq!(said(answers), Meaning::Fails(failure));
        }
    }

    #[test]
    fn only_an_empty_answer_about_the_name_is_nobody() {
        assert_eq!(said(vec![]), Meaning::NoData { ttl: None });
        // Of the other family, or a signature.
        let six = || RData::AAAA(AAAA("fdaa::1".parse().unwrap()));
        assert_eq!(
            said(vec![record("app.test.", 1, six())]),
            Meaning::NoData { ttl: None }
        );
        assert_eq!(
            said(vec![record("other.test.", 1, six())]),
            Meaning::Fails(Failure::Foreign(name("other.test.")))
        );
        let says = |code, authorities: &[&Record]| {
            let authorities = authorities.iter().map(|&record| record.clone()).collect();
            read(
                &name("app.test."),
                RecordType::A,
                &message(code, vec![], authorities),
            )
        };
        let soa = SOA::new(name("ns.test."), name("me.test."), 1, 60, 60, 60, 30);
        let soa = record("test.", 90, RData::SOA(soa));
        let ns = record("test.", 90, RData::NS(NS(name("ns.test."))));
        assert_eq!(
            says(ResponseCode::NoError, &[&soa, &ns]),
            Meaning::NoData {
                ttl: Some(Duration::from_secs(30))
            }
        );
        assert_eq!(says(ResponseCode::NXDomain, &[&soa]), Meaning::NoName);
        assert_eq!(
            says(ResponseCode::NoError, &[&ns]),
            Meaning::Fails(Failure::Referral)
        );
        for code in [
            ResponseCode::ServFail,
            ResponseCode::Refused,
            ResponseCode::Unknown(4000),
        ] {
            assert_eq!(
                says(code, &[&soa]),
                Meaning::Fails(Failure::Code(code)),
                "{code}"
            );
        }
    }

    #[test]
    fn half_an_answer_is_none() {
        let mut half = message(
            ResponseCode::NoError,
            vec![address("app.test.", 1, 1)],
            vec![],
        );
        half.metadata.truncation = true;
        assert_eq!(
            read(&name("app.test."), RecordType::A, &half),
            Meaning::Fails(Failure::Truncated)
        );
    }
}
