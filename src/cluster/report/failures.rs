//! Attempts to connect that failed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::line::{Level, Line, cut, some_of, span, without_numbers};
use super::{APART, Limit, MINUTE, SOON};
use crate::cluster::ConnectError;
use crate::name::NodeName;

/// How many failures are told one by one at once, and how often one more.
const SINGLE: (u32, Duration) = (5, Duration::from_secs(12));
/// How many logged causes of one node are remembered, so that a cause that alternates with another is not logged again.
const CAUSES: usize = 4;

#[derive(Debug)]
pub(super) struct Failures {
    /// The nodes that are named and whose last attempt failed.
    nodes: HashMap<NodeName, Failing>,
    /// What was logged of failed nodes that are no longer named, and when, so that a name that flaps is not logged again.
    past: HashMap<NodeName, (Vec<u64>, Duration)>,
    cleaned: Duration,
    single: Limit,
    /// When the next summary comes.
    summary_at: Option<Duration>,
    last_summary: Option<Duration>,
}

#[derive(Debug, Default)]
struct Failing {
    reason: String,
    /// Digests of the causes that lines told, the last one at the end.
    told: Vec<u64>,
    /// The digest of the last cause.
    cause: u64,
    /// No attempt comes by itself: that is told once, and not again each minute.
    is_final: bool,
}

impl Failing {
    fn is_told(&self) -> bool {
        self.told.contains(&self.cause)
    }

    /// Whether summaries name it.
    fn lasts(&self) -> bool {
        !self.is_final || !self.is_told()
    }

    fn tell(&mut self) {
        if !self.is_told() {
            if self.told.len() >= CAUSES {
                self.told.remove(0);
            }
            self.told.push(self.cause);
        }
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            nodes: HashMap::new(),
            past: HashMap::new(),
            cleaned: Duration::ZERO,
            single: Limit::new(SINGLE.0, SINGLE.1),
            summary_at: None,
            last_summary: None,
        }
    }
}

impl Failures {
    /// An attempt failed: how many in a row that makes, and when the next one comes.
    pub(super) fn failed(
        &mut self,
        now: Duration,
        node: &NodeName,
        error: &ConnectError,
        (attempts, retry_in): (u32, Option<Duration>),
        named: bool,
    ) -> Line {
        let again = retry_in.map_or_else(String::new, |retry_in| {
            format!("; the next attempt comes in {}", span(retry_in))
        });
        let text = format!("cannot connect to {node}: {}{again}", cut(&error.message));
        let mut level = Level::Debug;
        if named {
            let past = &mut self.past;
            let failing = self.nodes.entry(node.clone()).or_insert_with(|| Failing {
                told: past.remove(node).map(|(told, _)| told).unwrap_or_default(),
                ..Failing::default()
            });
            failing.is_final = retry_in.is_none();
            failing.reason.clone_from(&error.reason);
            failing.cause = digest(error);
            if !failing.is_told() && self.single.take(now) {
                level = Level::Warning;
                failing.tell();
            }
            let (told, lasts) = (failing.is_told(), failing.lasts());
            if lasts {
                let next = match told {
                    true => now + MINUTE,
                    false => self.soon(now),
                };
                let at = self.summary_at.get_or_insert(next);
                *at = next.min(*at);
            }
        }
        Line {
            attempts: Some(attempts),
            retry_in,
            ..Line::new(level, "connect_failed", "cannot connect", text)
                .node(node)
                .reason(&error.reason)
        }
    }

    fn soon(&self, now: Duration) -> Duration {
        let apart = self
            .last_summary
            .map_or(Duration::ZERO, |last| last + APART);
        (now + SOON).max(apart)
    }

    /// The node is connected. Whether a failure of it was told.
    pub(super) fn connected(&mut self, node: &NodeName) -> bool {
        self.past.remove(node);
        let failing = self.nodes.remove(node);
        failing.is_some_and(|failing| !failing.told.is_empty())
    }

    /// No provider names the node any more. Returns whether a failure of the node was logged.
    pub(super) fn unnamed(&mut self, now: Duration, node: &NodeName) -> bool {
        if now.saturating_sub(self.cleaned) >= MINUTE {
            self.cleaned = now;
            self.past
                .retain(|_, (_, at)| now.saturating_sub(*at) < MINUTE);
        }
        let Some(failing) = self.nodes.remove(node) else {
            return false;
        };
        let told = !failing.told.is_empty();
        if told {
            self.past.insert(node.clone(), (failing.told, now));
        }
        told
    }

    /// After these: no connect fails any more, if a summary said that some do.
    pub(super) fn healed(&mut self) -> Option<Line> {
        if self.nodes.values().any(Failing::lasts) {
            return None;
        }
        self.summary_at = None;
        self.last_summary.take()?;
        let text = "no peer fails to connect any more";
        Some(Line::new(Level::Notice, "connect_recovered", text, text).count(0))
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.summary_at
    }

    pub(super) fn summary(&mut self, now: Duration) -> Option<Line> {
        if self.summary_at? > now {
            return None;
        }
        self.summary_at = None;
        let lasting = self.nodes.iter_mut().filter(|(_, failing)| failing.lasts());
        let mut level = Level::Notice;
        let mut count = 0;
        let mut again = false;
        let mut by_reason: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
        for (node, failing) in lasting {
            count += 1;
            again |= !failing.is_final;
            if !failing.is_told() {
                // It says something that no line said.
                level = Level::Warning;
                failing.tell();
            }
            by_reason.entry(&failing.reason).or_default().push(node);
        }
        let mut by_reason: Vec<_> = by_reason.into_iter().collect();
        by_reason.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
        let most = by_reason
            .first()
            .map_or("", |(reason, _)| reason)
            .to_owned();
        let parts: Vec<String> = by_reason
            .into_iter()
            .map(|(reason, nodes)| format!("{} {reason} ({})", nodes.len(), some_of(nodes)))
            .collect();
        if count == 0 {
            return None;
        }
        self.summary_at = again.then_some(now + MINUTE);
        self.last_summary = Some(now);
        let peers = if count == 1 { "peer" } else { "peers" };
        let text = format!("{count} {peers} cannot be connected: {}", parts.join(", "));
        let phrase = "peers cannot be connected";
        let line = Line::new(level, "connect_failed_summary", phrase, text);
        Some(line.reason(&most).count(count))
    }
}

/// Stands for the cause.
fn digest(error: &ConnectError) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&error.reason, without_numbers(&error.message)).hash(&mut hasher);
    hasher.finish()
}
