//! The faults of a round, and which of the lost connections they explain.

use std::collections::BTreeSet;

use crate::events::{Event, What};

/// Which connections a fault may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// None.
    Nothing,
    /// All of this member.
    Member(u8),
    /// Those between these members and all others.
    Split(BTreeSet<u8>),
    /// That between this member's node and its own sidecar.
    Sidecar(u8),
}

impl Scope {
    /// Whether it may end the connection between two members.
    pub fn covers(&self, one: u8, other: u8) -> bool {
        match self {
            Self::Nothing => false,
            Self::Member(member) => *member == one || *member == other,
            Self::Split(side) => side.contains(&one) != side.contains(&other),
            Self::Sidecar(member) => *member == one && *member == other,
        }
    }
}

/// A fault that was done.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Its kind in one word.
    pub kind: &'static str,
    /// What was done to whom.
    pub what: String,
    pub scope: Scope,
    /// Whether it is one of those after which OTP's `global` may cut other connections, as it may where a node or the
    /// network fails. Nothing that a node does of its own will is: to leave, to stop, to take another name.
    pub abrupt: bool,
    pub began: u64,
    /// When it was over; 0 as long as it is not.
    pub ended: u64,
}

/// Why a connection was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A fault of one of its two ends, by its place in the list.
    Fault(usize),
    /// `global` cut it to prevent overlapping partitions, after an abrupt fault had ended a connection of one of its
    /// ends; OTP does so by itself.
    Global,
    /// Nothing that the soak did.
    Unexplained,
}

/// How long before it logs a line `global` cuts a connection, or afterwards, in milliseconds.
const NEAR: u64 = 3_000;
/// How long after a faulted connection went down `global` may cut others because of it, in milliseconds.
const SOON: u64 = 15_000;

/// Why each lost connection of a round was lost. Connections that a fault covers may also end while the cluster heals,
/// so until `whole`.
///
/// `number_of` gives the member with a name, if it is a member's.
pub fn explain(
    events: &[Event],
    faults: &[Fault],
    whole: u64,
    number_of: impl Fn(&str) -> Option<u8>,
) -> Vec<(Event, Cause)> {
    let downs: Vec<(&Event, Option<u8>)> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Down(node, _) => Some((event, number_of(node))),
            What::Log(_) => None,
        })
        .collect();
    let explains = |fault: &Fault, at: u64, one: u8, other: u8| {
        fault.scope.covers(one, other) && fault.began <= at && at <= whole.max(fault.ended)
    };
    downs
        .iter()
        .map(|&(event, number)| {
            let Some(other) = number else {
                return (event.clone(), Cause::Unexplained);
            };
            let fault = faults
                .iter()
                .position(|fault| explains(fault, event.at, event.member, other));
            if let Some(fault) = fault {
                return (event.clone(), Cause::Fault(fault));
            }
            // `global` disconnects: this is the reason on the side that does, and on the other one the peer closed it.
            let by_global = events.iter().any(|log| {
                let What::Log(text) = &log.what else {
                    return false;
                };
                let about = if log.member == event.member {
                    Some(other)
                } else if log.member == other {
                    Some(event.member)
                } else {
                    None
                };
                log.at.abs_diff(event.at) <= NEAR
                    && about.is_some_and(|about| {
                        text.split(|c: char| !(c.is_alphanumeric() || "@.-_".contains(c)))
                            .any(|word| number_of(word) == Some(about))
                    })
            });
            // It heard of a connection that such a fault ended.
            let heard = downs.iter().any(|&(lost, end)| {
                let Some(end) = end else { return false };
                faults
                    .iter()
                    .any(|fault| fault.abrupt && explains(fault, lost.at, lost.member, end))
                    && lost.at <= event.at + NEAR
                    && event.at <= lost.at + SOON
                    && [lost.member, end]
                        .iter()
                        .any(|end| *end == event.member || *end == other)
            });
            let cause = if by_global && heard {
                Cause::Global
            } else {
                Cause::Unexplained
            };
            (event.clone(), cause)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(at: u64, member: u8, node: &str, reason: &str) -> Event {
        let what = What::Down(node.to_owned(), reason.to_owned());
        Event { at, member, what }
    }

    fn number(name: &str) -> Option<u8> {
        name.strip_prefix("a@")?.parse().ok()
    }

    fn fault(scope: Scope, began: u64, ended: u64) -> Fault {
        Fault {
            kind: "kill",
            what: String::new(),
            scope,
            abrupt: true,
            began,
            ended,
        }
    }

    fn causes(events: &[Event], faults: &[Fault]) -> Vec<Cause> {
        explain(events, faults, 9_000, number)
            .into_iter()
            .map(|(_, cause)| cause)
            .collect()
    }

    #[test]
    fn a_fault_explains_what_its_member_loses_until_the_cluster_is_whole() {
        let faults = [fault(Scope::Member(2), 1_000, 5_000)];
        let events = [
            down(2_000, 1, "a@2", "connection_closed"),
            down(2_000, 2, "a@3", "net_tick_timeout"),
            down(8_000, 2, "a@3", "net_tick_timeout"),
            down(2_000, 1, "a@3", "connection_closed"),
            down(9_500, 1, "a@2", "connection_closed"),
            down(500, 1, "a@2", "connection_closed"),
        ];
        let own = Cause::Fault(0);
        let none = Cause::Unexplained;
        assert_eq!(
            causes(&events, &faults),
            [
                own.clone(),
                own.clone(),
                own,
                none.clone(),
                none.clone(),
                none
            ]
        );
    }

    #[test]
    fn a_split_explains_what_crosses_it() {
        let faults = [fault(Scope::Split([1, 2].into()), 1_000, 5_000)];
        let events = [
            down(2_000, 1, "a@3", "net_tick_timeout"),
            down(2_000, 1, "a@2", "net_tick_timeout"),
            down(2_000, 3, "a@4", "net_tick_timeout"),
        ];
        assert_eq!(
            causes(&events, &faults),
            [Cause::Fault(0), Cause::Unexplained, Cause::Unexplained]
        );
    }

    #[test]
    fn what_global_cuts_is_its_own_only_if_a_fault_made_it() {
        let faults = [fault(Scope::Member(2), 1_000, 5_000)];
        let log = |at, member, of: &str| Event {
            at,
            member,
            what: What::Log(format!(
                "'global' at node a@{member} requested disconnect from node '{of}' in order to prevent \
                 overlapping partitions"
            )),
        };
        let cut = down(2_100, 1, "a@3", "disconnect");
        let heard = [
            down(2_000, 2, "a@3", "net_tick_timeout"),
            log(2_100, 1, "a@3"),
            cut.clone(),
        ];
        assert_eq!(causes(&heard, &faults)[1], Cause::Global);
        let mut of_its_own_will = faults.clone();
        of_its_own_will[0].abrupt = false;
        assert_eq!(causes(&heard, &of_its_own_will)[1], Cause::Unexplained);
        let of_another = [
            down(2_000, 2, "a@3", "net_tick_timeout"),
            log(2_100, 1, "a@4"),
            cut,
        ];
        assert_eq!(causes(&of_another, &faults)[1], Cause::Unexplained);
    }
}
