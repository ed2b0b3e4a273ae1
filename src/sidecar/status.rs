//! The status, as lines of the log.

use std::time::Duration;

use crate::cluster::NodeState;
use crate::cluster::driver::{NodeStatus, Status};
use crate::name::NodeName;

use super::removals::Removals;

/// How many nodes that are not connected get a line of their own.
const NODES: usize = 50;

/// Writes how the cluster of the attached node stands.
pub(super) fn log(target: &NodeName, status: &Status, removals: &Removals) {
    let connected = |node: &&NodeStatus| matches!(node.state, NodeState::Connected { .. });
    let named: Vec<_> = status
        .nodes
        .iter()
        .filter(|node| !node.named_by.is_empty())
        .collect();
    let up = named.iter().copied().filter(connected).count();
    tracing::info!(
        event = "status", phrase = "status", attached = %target, count = named.len() as u64,
        "status: attached to {target} for {}; {up} of {} named nodes are connected, {} attempts are under way",
        seconds(status.uptime), named.len(), status.connecting
    );
    for provider in &status.providers {
        let age = provider.age.map_or_else(
            || "it has not answered yet".to_owned(),
            |age| format!("its last answer is {} old", seconds(age)),
        );
        let error = provider.error.as_deref().unwrap_or("no error");
        tracing::info!(
            event = "status_provider", phrase = "status of a provider", attached = %target, provider = provider.name,
            count = provider.nodes as u64,
            "status: {} names {} nodes, {age}, {error}", provider.name, provider.nodes
        );
    }
    let down: Vec<_> = named.into_iter().filter(|node| !connected(node)).collect();
    for node in down.iter().take(NODES) {
        let error = node.last_error.as_ref();
        tracing::info!(
            event = "status_node", phrase = "status of a node", attached = %target, node = %node.node,
            reason = error.map(|error| error.reason.as_str()), attempts = node.failures,
            "status: {} is not connected: {}", node.node, standing(node)
        );
    }
    if let Some(more @ 1..) = down.len().checked_sub(NODES) {
        tracing::info!(
            event = "status_node", phrase = "status of a node", attached = %target, count = more as u64,
            "status: {more} more nodes are not connected"
        );
    }
    for node in removals.removed().take(NODES) {
        tracing::info!(
            event = "status_removed", phrase = "status of a removed node", attached = %target, node = %node,
            "status: {node} was removed; it is connected again when a provider names it anew"
        );
    }
    for (node, why) in removals.waiting().take(NODES) {
        tracing::info!(
            event = "status_removed", phrase = "status of a removed node", attached = %target, node = %node,
            reason = why, "status: {node} is to be removed, and stays connected for now: {why}"
        );
    }
}

fn standing(node: &NodeStatus) -> String {
    let stands = match node.state {
        NodeState::Connecting { .. } => "an attempt is under way".to_owned(),
        NodeState::Waiting { .. } => match node.retry_in {
            Some(wait) => format!("the next attempt comes in {}", seconds(wait)),
            None => "it waits for the next attempt".to_owned(),
        },
        NodeState::Refused(why) => why.to_string(),
        NodeState::Idle => "no attempt comes by itself".to_owned(),
        _ => "it waits for its turn".to_owned(),
    };
    match &node.last_error {
        Some(error) => format!("{stands}; last error: {error}"),
        None => stands,
    }
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}
