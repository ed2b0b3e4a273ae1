//! What happens, told through `tracing`.

use std::collections::{HashMap, HashSet};

use crate::cluster::driver::Source;
use crate::cluster::{Event, ProviderId};
use crate::name::NodeName;

/// Tells of events.
///
/// A node that no provider names is nobody's peer: a remote shell, a command that asks something. That it comes
/// and goes is worth a line only to those who debug.
#[derive(Debug)]
pub(super) struct Reporter {
    sources: Vec<Source>,
    /// By how many providers a node is named; those that none names are not here.
    named: HashMap<NodeName, usize>,
    /// The nodes that it was told of that they are connected.
    told: HashSet<NodeName>,
}

impl Reporter {
    /// `sources` are the providers in their configured order.
    pub(super) fn new(sources: Vec<Source>) -> Self {
        Self {
            sources,
            named: HashMap::new(),
            told: HashSet::new(),
        }
    }

    /// Whether people want to know of this event.
    fn matters(&mut self, event: &Event) -> bool {
        match event {
            Event::Discovered { node, .. } => {
                *self.named.entry(node.clone()).or_default() += 1;
                true
            }
            Event::Withdrawn { node, .. } => {
                if let Some(providers) = self.named.get_mut(node) {
                    *providers -= 1;
                    if *providers == 0 {
                        self.named.remove(node);
                    }
                }
                true
            }
            Event::Joined { node, .. } => {
                self.named.contains_key(node) && {
                    self.told.insert(node.clone());
                    true
                }
            }
            // A peer says goodbye before it goes, and is told of all the same.
            Event::Left { node, .. } => self.told.remove(node) || self.named.contains_key(node),
            _ => true,
        }
    }

    /// Tells of an event.
    pub(super) fn report(&mut self, event: &Event) {
        if self.matters(event) {
            tell(event, &self.sources);
        } else {
            tracing::debug!(?event, "a node that no provider names");
        }
    }
}

fn tell(event: &Event, sources: &[Source]) {
    let named = |provider: &ProviderId| {
        let source = sources.get(provider.index());
        source.map_or("?", Source::name).to_owned()
    };
    match event {
        Event::Discovered { node, provider } => {
            tracing::info!(%node, via = named(provider), "found");
        }
        Event::Withdrawn { node, provider } => {
            tracing::info!(%node, via = named(provider), "no longer named");
        }
        Event::Joined {
            node,
            after: Some(after),
        } => {
            tracing::info!(%node, ms = millis(*after), "connected after {} ms", millis(*after));
        }
        Event::Joined { node, after: None } => tracing::info!(%node, "connected"),
        Event::Left {
            node,
            reason: Some(reason),
        } => tracing::warn!(%node, reason, "lost: {reason}"),
        Event::Left { node, reason: None } => tracing::warn!(%node, "lost"),
        Event::ConnectFailed {
            node,
            error,
            attempts,
            retry_in,
        } => match retry_in {
            Some(retry_in) => tracing::warn!(
                %node, reason = error.reason, attempts, retry_ms = millis(*retry_in),
                "not connected: {error}"
            ),
            None => {
                tracing::warn!(%node, reason = error.reason, attempts, "not connected: {error}")
            }
        },
        Event::Refused {
            node,
            provider,
            reason,
        } => tracing::info!(%node, via = named(provider), "left out: {reason}"),
        Event::ProviderFailed { provider, error } => {
            tracing::warn!(via = named(provider), "the provider failed: {error}");
        }
        Event::ProviderNotice { provider, message } => {
            tracing::warn!(via = named(provider), "{message}");
        }
        Event::ProviderRecovered { provider } => {
            tracing::info!(via = named(provider), "the provider answers again");
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_nobody_named_are_not_told_of() {
        let node = |text: &str| text.parse::<NodeName>().unwrap();
        let provider = ProviderId::new(0).unwrap();
        let joined = |text| Event::Joined {
            node: node(text),
            after: None,
        };
        let left = |text| Event::Left {
            node: node(text),
            reason: None,
        };
        let mut reporter = Reporter::new(Vec::new());
        assert!(!reporter.matters(&joined("shell@h")));
        assert!(!reporter.matters(&left("shell@h")));

        let found = Event::Discovered {
            node: node("b@h"),
            provider,
        };
        let withdrawn = Event::Withdrawn {
            node: node("b@h"),
            provider,
        };
        assert!(reporter.matters(&found));
        assert!(reporter.matters(&joined("b@h")));
        assert!(reporter.matters(&withdrawn));
        assert!(reporter.matters(&left("b@h")));
        assert!(!reporter.matters(&left("b@h")), "once");

        // One that was connected before anybody named it.
        assert!(!reporter.matters(&joined("b@h")));
        assert!(reporter.matters(&found));
        assert!(reporter.matters(&left("b@h")));
    }
}
