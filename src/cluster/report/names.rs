//! Names that come and go.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::line::{Level, Line, some_of};
use super::{APART, Limit, MINUTE, SOON};
use crate::cluster::Refusal;
use crate::name::NodeName;

/// How many names are told one by one at once, and how often one more.
const SINGLE: (u32, Duration) = (20, Duration::from_secs(3));

#[derive(Debug)]
pub(super) struct Names {
    /// What was told of a name within the last minute, so that one that flaps is told once.
    recent: HashMap<NodeName, Recent>,
    cleaned: Duration,
    /// What no line of its own told.
    hidden: BTreeMap<NodeName, Hidden>,
    single: Limit,
    summary_at: Option<Duration>,
    last_summary: Option<Duration>,
}

#[derive(Debug, Default)]
struct Recent {
    found: bool,
    gone: bool,
    last: Duration,
}

#[derive(Debug, Default)]
struct Hidden {
    found: u32,
    gone: u32,
    refused: u32,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            recent: HashMap::new(),
            cleaned: Duration::ZERO,
            hidden: BTreeMap::new(),
            single: Limit::new(SINGLE.0, SINGLE.1),
            summary_at: None,
            last_summary: None,
        }
    }
}

impl Names {
    /// A provider named the node, which none named before. `connected`: it has a connection, which was not told.
    pub(super) fn found(
        &mut self,
        now: Duration,
        node: &NodeName,
        provider: &str,
        connected: bool,
    ) -> Line {
        let recent = self.recent(now, node);
        let repeated = std::mem::replace(&mut recent.found, true);
        // A connection is never left out.
        let level = match connected {
            true => Level::Info,
            false => self.level(now, repeated),
        };
        if level == Level::Debug {
            self.hide(now, node, repeated).found += 1;
        }
        let text = match connected {
            true => format!("found {node} ({provider}); it is connected already"),
            false => format!("found {node} ({provider})"),
        };
        Line::new(level, "discovered", "found", text)
            .node(node)
            .provider(provider)
    }

    /// Another provider names it as well.
    pub(super) fn also(&self, node: &NodeName, provider: &str) -> Line {
        let text = format!("{provider} names {node} as well");
        Line::new(Level::Debug, "discovered", "found", text)
            .node(node)
            .provider(provider)
    }

    /// One of several providers no longer names it.
    pub(super) fn no_longer_by(&self, node: &NodeName, provider: &str) -> Line {
        let text = format!("{provider} no longer names {node}; others do");
        Line::new(Level::Debug, "withdrawn", "no longer named", text)
            .node(node)
            .provider(provider)
    }

    /// No provider names the node any more. `alarmed`: a failure of the node was logged, which is over now.
    pub(super) fn gone(
        &mut self,
        now: Duration,
        node: &NodeName,
        provider: &str,
        alarmed: bool,
    ) -> Line {
        let recent = self.recent(now, node);
        let repeated = std::mem::replace(&mut recent.gone, true);
        let mut level = self.level(now, repeated);
        if level == Level::Debug {
            self.hide(now, node, repeated).gone += 1;
        } else if alarmed {
            level = Level::Notice;
        }
        let text = format!("{node} is no longer named ({provider})");
        Line::new(level, "withdrawn", "no longer named", text)
            .node(node)
            .provider(provider)
    }

    /// A node that is named is not connected to.
    pub(super) fn refused(
        &mut self,
        now: Duration,
        node: &NodeName,
        provider: String,
        why: Refusal,
    ) -> Line {
        let level = match self.level(now, false) {
            Level::Debug => Level::Debug,
            _ => Level::Notice,
        };
        if level == Level::Debug {
            self.hide(now, node, false).refused += 1;
        }
        let text = format!("{node}, named by {provider}, is not connected to: {why}");
        let reason = match why {
            Refusal::NotAccepted => "not_accepted",
            Refusal::ClusterFull => "cluster_full",
            Refusal::TooManyNew => "too_many_new",
        };
        Line::new(level, "refused", "not connected to", text)
            .node(node)
            .provider(&provider)
            .reason(reason)
    }

    fn recent(&mut self, now: Duration, node: &NodeName) -> &mut Recent {
        if now.saturating_sub(self.cleaned) >= MINUTE {
            self.cleaned = now;
            self.recent
                .retain(|_, recent| now.saturating_sub(recent.last) < MINUTE);
        }
        let recent = self.recent.entry(node.clone()).or_default();
        if now.saturating_sub(recent.last) >= MINUTE {
            *recent = Recent::default();
        }
        recent.last = now;
        recent
    }

    fn level(&mut self, now: Duration, repeated: bool) -> Level {
        match !repeated && self.single.take(now) {
            true => Level::Info,
            false => Level::Debug,
        }
    }

    fn hide(&mut self, now: Duration, node: &NodeName, repeated: bool) -> &mut Hidden {
        let apart = self
            .last_summary
            .map_or(Duration::ZERO, |last| last + APART);
        let next = match repeated {
            true => now + MINUTE,
            false => (now + SOON).max(apart),
        };
        let at = self.summary_at.get_or_insert(next);
        *at = next.min(*at);
        self.hidden.entry(node.clone()).or_default()
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.summary_at
    }

    pub(super) fn summary(&mut self, now: Duration) -> Option<Line> {
        if self.summary_at? > now {
            return None;
        }
        self.summary_at = None;
        self.last_summary = Some(now);
        let hidden = std::mem::take(&mut self.hidden);
        let flapping = |hidden: &Hidden| hidden.found > 1 || hidden.gone > 1;
        let of = |which: &dyn Fn(&Hidden) -> bool| -> Vec<&NodeName> {
            let nodes = hidden.iter().filter(|(_, hidden)| which(hidden));
            nodes.map(|(node, _)| node).collect()
        };
        let kinds = [
            (
                "found",
                of(&|hidden| hidden.found == 1 && !flapping(hidden)),
            ),
            (
                "no longer named",
                of(&|hidden| hidden.gone == 1 && !flapping(hidden)),
            ),
            ("named and not named again and again", of(&flapping)),
            (
                "not connected to (accept or max_nodes)",
                of(&|hidden| hidden.refused > 0),
            ),
        ];
        let parts: Vec<String> = kinds
            .into_iter()
            .filter(|(_, nodes)| !nodes.is_empty())
            .map(|(kind, nodes)| format!("{} {kind} ({})", nodes.len(), some_of(nodes)))
            .collect();
        let text = format!("nodes that had no line of their own: {}", parts.join(", "));
        let line = Line::new(Level::Info, "names_summary", "nodes came and went", text);
        Some(line.count(hidden.len()))
    }
}
