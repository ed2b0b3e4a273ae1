//! What can go wrong with a lookup, told so that it can be put right.

use std::io::ErrorKind;
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;

/// Why a lookup says nothing about the nodes behind a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// NXDOMAIN: there is no such name. That is no complete answer "nobody": a misspelt name gets it,
    /// and so does a Kubernetes headless service while none of its pods is ready, connected or not.
    NoName,
    /// The server answered with an error (RFC 1035, section 4.1.1).
    Code(ResponseCode),
    /// No answer came in time.
    Silent,
    /// The answer did not fit into a datagram, and TCP brought no whole one.
    Truncated,
    /// The answer has records of this name only, which is not the one that was asked for.
    Foreign(Name),
    /// The server knows other servers to ask, and did not ask them: RFC 2308, section 2.2.
    Referral,
    /// The aliases lead in a circle, of which this name is a part.
    Circle(Name),
    /// An alias leads to the root of the DNS.
    AliasOfNothing,
    /// There was no way to the server.
    Unreachable(String),
    /// Something else.
    Other(String),
}

impl Failure {
    /// What hickory's error means here. "No records" is no failure and is not expected.
    pub fn new(error: NetError) -> Self {
        match error {
            error if error.is_nx_domain() => Self::NoName,
            NetError::Dns(DnsError::ResponseCode(code)) => Self::Code(code),
            NetError::Timeout => Self::Silent,
            NetError::Truncated => Self::Truncated,
            NetError::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Self::Unreachable("the connection was refused".into())
            }
            NetError::Io(error) => Self::Unreachable(error.to_string()),
            NetError::NoConnections => Self::Unreachable(
                "nothing can be sent to it: it refuses, or sending is not permitted".into(),
            ),
            other => Self::Other(other.to_string()),
        }
    }

    /// Whether another server may know better: this one could not say.
    pub fn is_the_server_s(&self) -> bool {
        matches!(self, Self::Code(_) | Self::Foreign(_) | Self::Referral)
    }

    /// The cause and the remedy, for people.
    ///
    /// `what` was asked for, of the servers `asked`, and could have taken `timeout`.
    pub fn explain(&self, what: &str, asked: &str, timeout: Duration) -> String {
        match self {
            Self::NoName => format!(
                "{what} does not exist (NXDOMAIN from {asked}): check dns_name; a Kubernetes headless service \
                 gets its name when the first of its pods is ready"
            ),
            Self::Code(ResponseCode::ServFail) => format!(
                "{what}: SERVFAIL from {asked}: the name server could not find out; see its log, it may not reach \
                 the servers that it asks itself"
            ),
            Self::Code(ResponseCode::Refused) => format!(
                "{what}: REFUSED by {asked}: the name server does not serve this name or this host; check \
                 nameservers and who may ask it"
            ),
            Self::Code(code) => format!(
                "{what}: the answer of {asked} is an error, {code}: check that it is a name server for this name"
            ),
            Self::Silent => format!(
                "{what}: no answer from {asked} within {}: check that the name server runs and that UDP and TCP \
                 reach it, or give it more time with lookup_timeout",
                seconds(timeout)
            ),
            Self::Truncated => format!(
                "{what}: the answer of {asked} is too long for UDP and did not come by TCP: let TCP through to \
                 the name server"
            ),
            Self::Foreign(owner) => format!(
                "{what}: the answer of {asked} is about {} and not about this name: have the name server give \
                 the asked name back (CoreDNS: `rewrite ... answer auto`), or set dns_name to that name",
                owner.to_ascii()
            ),
            Self::Referral => format!(
                "{what}: {asked} refers to other name servers instead of asking them: give a name server that \
                 resolves names for its clients (a recursive one) as nameservers"
            ),
            Self::Circle(alias) => format!(
                "{what}: its aliases (CNAME) lead in a circle, by way of {}, says {asked}: correct the zone",
                alias.to_ascii()
            ),
            Self::AliasOfNothing => format!(
                "{what}: its alias (CNAME) leads to the root \".\", says {asked}: correct the zone"
            ),
            Self::Unreachable(reason) => format!(
                "{what}: {asked} cannot be reached: {reason}; check that the name server runs and that a route \
                 leads to it"
            ),
            Self::Other(reason) => format!("{what}: the lookup at {asked} failed: {reason}"),
        }
    }
}

/// A duration as people read it: `3 s`, `0.25 s`.
fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_names_what_was_asked_whom_and_a_remedy() {
        for (failure, part) in [
            (Failure::NoName, "NXDOMAIN"),
            (Failure::Code(ResponseCode::ServFail), "SERVFAIL"),
            (Failure::Code(ResponseCode::Refused), "REFUSED"),
            (Failure::Code(ResponseCode::NotImp), "Not implemented"),
            (Failure::Silent, "within 2.5 s"),
            (Failure::Truncated, "TCP"),
            (
                Failure::Foreign("other.test".parse().unwrap()),
                "other.test",
            ),
            (Failure::Referral, "recursive"),
            (Failure::Circle("b.test".parse().unwrap()), "b.test"),
            (Failure::AliasOfNothing, "root"),
            (Failure::Unreachable("no route".into()), "no route"),
            (Failure::Other("odd".into()), "odd"),
        ] {
            let text = failure.explain("app.test", "10.0.0.1:53", Duration::from_millis(2500));
            for part in ["app.test", "10.0.0.1:53", part] {
                assert!(
                    text.to_lowercase().contains(&part.to_lowercase()),
                    "{text:?} has no {part:?}"
                );
            }
        }
    }
}
