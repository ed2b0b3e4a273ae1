//! What callers want of a driver, until it comes round to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{DriverError, Status};
use crate::cluster::{ConnectError, Input, ProviderId};
use crate::discovery::Observation;
use crate::name::NodeName;

/// The most nodes about which reports can wait. Far above what a mesh of BEAM nodes can have.
const MAX_NODES: usize = 100_000;

/// The most reports about one node that are kept apart; more are folded.
const MAX_REPORTS: usize = 8;

/// The most announcements and goodbyes of one provider that can wait.
const MAX_ANNOUNCEMENTS: usize = 100_000;

/// The most questions for the status that can wait.
const MAX_STATUSES: usize = 256;

/// Takes the status.
pub(super) type StatusCallback = Box<dyn FnOnce(Status) + Send>;

/// What was reported about a node, whose name is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Report {
    Up,
    UpHidden,
    Down(Option<String>),
    Result(Result<(), ConnectError>),
}

impl Report {
    fn input(self, node: NodeName) -> Input {
        match self {
            Self::Up => Input::Up { node },
            Self::UpHidden => Input::UpHidden { node },
            Self::Down(reason) => Input::Down { node, reason },
            Self::Result(result) => Input::ConnectResult { node, result },
        }
    }
}

/// Callers put in, the driver takes out all at once. Nobody waits: the lock is held for a few map
/// operations.
///
/// It cannot grow without end. Reports are kept by node, and many about one node are folded to what they
/// come to. A complete answer replaces what its provider had said before it. Past the limits a caller is
/// told [`DriverError::Busy`].
#[derive(Default)]
pub(super) struct Inbox {
    wishes: Mutex<Wishes>,
    bell: Notify,
}

#[derive(Default)]
pub(super) struct Wishes {
    pub(super) stop: bool,
    pub(super) refresh: bool,
    pub(super) statuses: Vec<StatusCallback>,
    reports: BTreeMap<NodeName, Vec<Report>>,
    observations: BTreeMap<ProviderId, Vec<Observation>>,
    /// The driver has ended.
    closed: bool,
}

impl Wishes {
    /// The reports, those about one node in their order. Empties them.
    pub(super) fn take_reports(&mut self) -> impl Iterator<Item = Input> + use<> {
        std::mem::take(&mut self.reports)
            .into_iter()
            .flat_map(|(node, reports)| {
                reports
                    .into_iter()
                    .map(move |report| report.input(node.clone()))
            })
    }

    /// The observations, those of one provider in their order. Empties them.
    pub(super) fn take_observations(
        &mut self,
    ) -> impl Iterator<Item = (ProviderId, Observation)> + use<> {
        std::mem::take(&mut self.observations)
            .into_iter()
            .flat_map(|(provider, observations)| {
                observations
                    .into_iter()
                    .map(move |observation| (provider, observation))
            })
    }
}

impl Inbox {
    /// Nothing that can panic runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(
        &self,
        put: impl FnOnce(&mut Wishes) -> Result<(), DriverError>,
    ) -> Result<(), DriverError> {
        let mut wishes = self.lock();
        if wishes.closed {
            return Err(DriverError::Stopped);
        }
        put(&mut wishes)?;
        drop(wishes);
        self.bell.notify_one();
        Ok(())
    }

    pub(super) fn stop(&self) {
        // A driver that has ended has stopped.
        let _ = self.put(|wishes| {
            wishes.stop = true;
            Ok(())
        });
    }

    pub(super) fn refresh(&self) -> Result<(), DriverError> {
        self.put(|wishes| {
            wishes.refresh = true;
            Ok(())
        })
    }

    pub(super) fn status(&self, callback: StatusCallback) -> Result<(), DriverError> {
        self.put(|wishes| {
            if wishes.statuses.len() >= MAX_STATUSES {
                return Err(DriverError::Busy);
            }
            wishes.statuses.push(callback);
            Ok(())
        })
    }

    pub(super) fn report(&self, node: NodeName, report: Report) -> Result<(), DriverError> {
        self.put(|wishes| {
            if wishes.reports.len() >= MAX_NODES && !wishes.reports.contains_key(&node) {
                return Err(DriverError::Busy);
            }
            let reports = wishes.reports.entry(node).or_default();
            if reports.len() >= MAX_REPORTS {
                fold(reports);
            }
            reports.push(report);
            Ok(())
        })
    }

    pub(super) fn observe(
        &self,
        provider: ProviderId,
        observation: Observation,
    ) -> Result<(), DriverError> {
        self.put(|wishes| {
            let waiting = wishes.observations.entry(provider).or_default();
            match (&observation, waiting.last()) {
                // A complete answer makes good for everything before it.
                (Observation::Snapshot(_), _) => {
                    waiting.retain(|earlier| matches!(earlier, Observation::Ports(_)));
                }
                (Observation::Ports(_), _) => {
                    waiting.retain(|earlier| !matches!(earlier, Observation::Ports(_)));
                }
                (Observation::Failed(_), Some(Observation::Failed(_))) => {
                    waiting.pop();
                }
                _ if waiting.len() >= MAX_ANNOUNCEMENTS => return Err(DriverError::Busy),
                _ => {}
            }
            waiting.push(observation);
            Ok(())
        })
    }

    /// Waits until there is something to take. Cancel-safe.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Takes everything out.
    pub(super) fn take(&self) -> Wishes {
        std::mem::take(&mut *self.lock())
    }

    /// Takes everything out, and nothing more goes in.
    pub(super) fn close(&self) -> Wishes {
        let closed = Wishes {
            closed: true,
            ..Wishes::default()
        };
        std::mem::replace(&mut *self.lock(), closed)
    }
}

/// What the reports come to: the last result, then whether there is a connection.
fn fold(reports: &mut Vec<Report>) {
    let last = |matching: fn(&Report) -> bool| reports.iter().rev().find(|r| matching(r)).cloned();
    let result = last(|report| matches!(report, Report::Result(_)));
    let link = last(|report| !matches!(report, Report::Result(_)));
    *reports = result.into_iter().chain(link).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name, "h").unwrap()
    }

    fn provider(index: usize) -> ProviderId {
        ProviderId::new(index).unwrap()
    }

    #[test]
    fn a_flood_about_one_node_is_folded_to_what_it_comes_to() {
        let inbox = Inbox::default();
        let failed = || {
            Err(ConnectError {
                reason: "refused".into(),
                message: "no".into(),
            })
        };
        inbox.report(node("a"), Report::Result(failed())).unwrap();
        for _ in 0..1_000_000 {
            inbox.report(node("a"), Report::Up).unwrap();
            inbox.report(node("a"), Report::Down(None)).unwrap();
        }
        let inputs: Vec<Input> = inbox.take().take_reports().collect();
        assert!(inputs.len() <= MAX_REPORTS, "{}", inputs.len());
        let (node, result) = (node("a"), failed());
        assert_eq!(
            inputs.last(),
            Some(&Input::Down {
                node: node.clone(),
                reason: None
            })
        );
        assert_eq!(inputs.first(), Some(&Input::ConnectResult { node, result }));
    }

    #[test]
    fn a_flood_of_results_does_not_hide_that_the_node_is_up() {
        let inbox = Inbox::default();
        inbox.report(node("a"), Report::Up).unwrap();
        for _ in 0..1000 {
            inbox.report(node("a"), Report::Result(Ok(()))).unwrap();
        }
        let inputs: Vec<Input> = inbox.take().take_reports().collect();
        assert!(inputs.len() <= MAX_REPORTS, "{}", inputs.len());
        assert!(inputs.contains(&Input::Up { node: node("a") }));
    }

    #[test]
    fn few_reports_come_out_as_they_went_in() {
        let inbox = Inbox::default();
        for report in [
            Report::Up,
            Report::Down(None),
            Report::Result(Ok(())),
            Report::Up,
        ] {
            inbox.report(node("a"), report).unwrap();
        }
        let node = node("a");
        let inputs: Vec<Input> = inbox.take().take_reports().collect();
        assert_eq!(
            inputs,
            [
                Input::Up { node: node.clone() },
                Input::Down {
                    node: node.clone(),
                    reason: None
                },
                Input::ConnectResult {
                    node: node.clone(),
                    result: Ok(())
                },
                Input::Up { node },
            ]
        );
    }

    #[test]
    fn an_answer_replaces_what_its_provider_said_before() {
        let inbox = Inbox::default();
        let ttl = std::time::Duration::from_secs(1);
        let say = |index, observation| inbox.observe(provider(index), observation).unwrap();
        say(1, Observation::Gone(node("z")));
        for _ in 0..3 {
            say(0, Observation::Seen(node("x"), ttl));
            say(0, Observation::Failed("x".into()));
            say(0, Observation::Ports(vec![(node("a"), 1)]));
            say(0, Observation::Snapshot(vec![node("a")]));
        }
        say(0, Observation::Failed("x".into()));
        say(0, Observation::Failed("y".into()));
        let taken: Vec<_> = inbox.take().take_observations().collect();
        assert_eq!(
            taken,
            [
                (provider(0), Observation::Ports(vec![(node("a"), 1)])),
                (provider(0), Observation::Snapshot(vec![node("a")])),
                (provider(0), Observation::Failed("y".into())),
                (provider(1), Observation::Gone(node("z"))),
            ]
        );
    }

    #[test]
    fn past_its_limits_it_says_busy_and_after_the_end_stopped() {
        let inbox = Inbox::default();
        let busy = Err(DriverError::Busy);
        for index in 0..MAX_NODES {
            inbox.report(node(&index.to_string()), Report::Up).unwrap();
        }
        assert_eq!(inbox.report(node("one-more"), Report::Up), busy);
        assert_eq!(inbox.report(node("7"), Report::Down(None)), Ok(()));
        let gone = || Observation::Gone(node("a"));
        for _ in 0..MAX_ANNOUNCEMENTS {
            inbox.observe(provider(0), gone()).unwrap();
        }
        assert_eq!(inbox.observe(provider(0), gone()), busy);
        assert_eq!(inbox.observe(provider(1), gone()), Ok(()));
        for _ in 0..MAX_STATUSES {
            inbox.status(Box::new(|_| {})).unwrap();
        }
        assert_eq!(inbox.status(Box::new(|_| {})), busy);
        inbox.close();
        assert_eq!(inbox.refresh(), Err(DriverError::Stopped));
    }
}
