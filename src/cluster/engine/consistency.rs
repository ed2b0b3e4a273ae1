//! What holds at all times, for tests to check.

use super::{Engine, Node};
use crate::cluster::{OnRemoved, ProviderId, Refusal};

macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

impl Engine {
    /// Says what is wrong with the engine's state, which after any input and any number of actions taken is
    /// nothing. For tests: it walks over everything.
    ///
    /// # Errors
    /// The first contradiction found.
    #[doc(hidden)]
    pub fn check_consistency(&self) -> Result<(), String> {
        for (id, node) in &self.nodes {
            self.check_node(id, node)
                .map_err(|what| format!("{what}: {node:?}"))?;
        }
        let count = |what: fn(&Node) -> bool| self.nodes.iter().filter(|(_, n)| what(n)).count();
        ensure!(self.index.len() == self.nodes.len(), "index");
        ensure!(
            self.in_flight == count(|n| n.attempt.is_some()),
            "attempts in flight"
        );
        ensure!(
            self.retries_in_flight == count(|n| n.attempt.is_some_and(|a| a.retry)),
            "retries in flight"
        );
        ensure!(
            self.in_flight <= self.policy.max_connecting,
            "more attempts than allowed"
        );
        ensure!(self.counted == count(|n| n.counted), "nodes counted");
        ensure!(self.turns.len() == count(|n| n.turn.is_some()), "turns");
        ensure!(self.alarms.len() == count(|n| n.alarm.is_some()), "alarms");
        ensure!(
            self.without_place.len() == count(|n| n.place.is_some()),
            "nodes without a place"
        );
        ensure!(
            self.is_full() || self.newcomers.is_empty(self.now) || self.without_place.is_empty(),
            "there is a place and someone without one"
        );
        for view in self.providers() {
            let named = self.nodes.iter();
            let named = named.filter(|(_, n)| n.named_by.contains(view.provider));
            ensure!(view.nodes == named.count(), "nodes of {view:?}");
        }
        Ok(())
    }

    fn check_node(&self, id: usize, node: &Node) -> Result<(), String> {
        let now = self.now;
        let named = !node.named_by.is_empty();
        ensure!(self.index.get(&node.name) == Some(&id), "not in the index");
        ensure!(self.own.as_ref() != Some(&node.name), "the own node");
        ensure!(
            node.named_by
                .iter()
                .all(|p: ProviderId| p.index() < self.providers.len()),
            "named by a provider that said nothing"
        );
        ensure!(node.first_named.is_some() == named, "first named");
        ensure!(named || node.refused.is_none(), "refused but not named");
        ensure!(
            node.missing.is_some() == (named && node.connected.is_none()),
            "missing"
        );
        ensure!(
            !node.guest || (node.connected.is_some() && !node.wanted()),
            "a guest that is a peer, or not connected"
        );
        for (i, lease) in node.leases.iter().enumerate() {
            ensure!(lease.expires > now, "a lease has run out");
            ensure!(
                node.named_by.contains(lease.provider),
                "a lease of a provider that does not name the node"
            );
            let twice = node.leases[..i]
                .iter()
                .any(|l| l.provider == lease.provider);
            ensure!(!twice, "two leases of one provider");
        }
        ensure!(
            node.missed
                .iter()
                .all(|missed| node.named_by.contains(missed.provider)),
            "missed by a provider that does not name the node"
        );
        ensure!(
            node.turn.is_some() == (node.lacks_attempt() && node.not_before <= now),
            "turn"
        );
        if let Some(turn) = node.turn {
            ensure!(self.turns.holder(turn) == Some(id), "turn of another");
            ensure!(turn.retry == (node.failures > 0), "turn of the wrong kind");
        }
        ensure!(
            node.place.is_some() == node.refused.is_some_and(Refusal::waits_for_room),
            "place"
        );
        ensure!(node.counted == node.counts(), "counted");
        let cut = matches!(self.policy.on_removed, OnRemoved::Disconnect { .. });
        ensure!(
            node.cut_at.is_some()
                == (cut && node.claimed && !node.cutting && !named && node.connected.is_some()),
            "cut"
        );
        ensure!(node.claimed || !node.wanted(), "wanted and not claimed");
        ensure!(
            !node.cutting || (node.claimed && node.connected.is_some() && !named),
            "about to be disconnected without need"
        );
        ensure!(
            node.forget_at.is_some() == node.is_past(),
            "to be forgotten"
        );
        ensure!(!node.is_past() || node.failures > 0, "not forgotten");
        if let Some(deadline) = node.deadline() {
            ensure!(deadline > now, "a moment has passed");
            ensure!(
                node.alarm.is_some_and(|alarm| alarm <= deadline),
                "late alarm"
            );
        }
        if let Some(alarm) = node.alarm {
            ensure!(self.alarms.contains(&(alarm, id)), "alarm not set");
            ensure!(alarm > now, "alarm did not ring");
        }
        Ok(())
    }
}
