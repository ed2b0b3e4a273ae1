//! Decides what the log says of a cluster, how loudly and how often. It reads no clock and writes nothing.
//!
//! # Policy
//! - A change is told at once: connected, lost, a first failure, a new cause, a provider that fails or answers again.
//! - The same failure of the same node again is told at [`Level::Debug`], and summed up once a minute in one line:
//!   `95 peers cannot be connected: 95 not_registered (a@h, b@h, c@h and 92 more)`.
//! - Of many first failures at once a few are told one by one, and the rest in a summary two seconds later. Each node's own cause
//!   is told at debug, and is in the status.
//! - A node that connects is always told. If a failure of it was told before, its connect is a [`Level::Notice`], so
//!   that an alert on the failure also gets its end. A failure counts as told only when a line with it was written.
//! - Names that come and go again and again are told once, and then summed up once a minute.
//! - Nodes that no provider names are not peers (a remote shell, a command that asks something): debug.

mod failures;
mod limit;
mod line;
mod names;
mod providers;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use self::failures::Failures;
use self::line::{cut, span};
use self::names::Names;
use self::providers::Providers;
use super::io::{Event, ProviderId};
use crate::name::NodeName;

pub(crate) use self::limit::Limit;
pub use self::line::{EVENTS, Level, Line};

/// How long one summary is from the next.
const MINUTE: Duration = Duration::from_secs(60);
/// How soon a summary comes that tells what no line of its own told.
const SOON: Duration = Duration::from_secs(2);
/// How long such a summary is from the one before.
const APART: Duration = Duration::from_secs(15);

/// Takes the engine's events and hands out the lines of the log.
///
/// After every [`handle`](Self::handle) and [`wake`](Self::wake) take all that [`poll_line`](Self::poll_line) has, and
/// come back with `wake` when [`next_wake`](Self::next_wake) has come.
///
/// ```
/// use std::time::Duration;
/// use rendez::cluster::{Event, ProviderId};
/// use rendez::cluster::report::Reporter;
///
/// let mut reporter = Reporter::new(vec!["dns".into()]);
/// let (node, provider) = ("b@h".parse().unwrap(), ProviderId::new(0).unwrap());
/// reporter.handle(Duration::ZERO, &Event::Discovered { node, provider });
/// assert_eq!(reporter.poll_line().unwrap().text, "found b@h (dns)");
/// ```
#[derive(Debug)]
pub struct Reporter {
    nodes: HashMap<NodeName, Known>,
    failures: Failures,
    names: Names,
    providers: Providers,
    lines: VecDeque<Line>,
}

/// What is remembered of a node.
#[derive(Debug, Default)]
struct Known {
    /// By how many providers it is named.
    named_by: usize,
    /// There is a connection.
    up: bool,
    /// It was told that there is one, so its end is told too.
    told_up: bool,
    /// There was a connection before.
    was_up: bool,
}

impl Reporter {
    /// `providers` are the names of the providers in their configured order.
    #[must_use]
    pub fn new(providers: Vec<String>) -> Self {
        Self {
            nodes: HashMap::new(),
            failures: Failures::default(),
            names: Names::default(),
            providers: Providers::new(providers),
            lines: VecDeque::new(),
        }
    }

    /// Takes what happened at `now`, the time since any fixed moment.
    pub fn handle(&mut self, now: Duration, event: &Event) {
        match event {
            Event::Discovered { node, provider } => self.discovered(now, node, *provider),
            Event::Withdrawn { node, provider } => self.withdrawn(now, node, *provider),
            Event::Joined { node, after } => self.joined(node, *after),
            Event::Left { node, reason } => self.left(node, reason.as_deref()),
            Event::ConnectFailed {
                node,
                error,
                attempts,
                retry_in,
            } => {
                let named = self.is_named(node);
                let line = self
                    .failures
                    .failed(now, node, error, (*attempts, *retry_in), named);
                self.lines.push_back(line);
            }
            Event::Refused {
                node,
                provider,
                reason,
            } => {
                let provider = self.providers.name(*provider).to_owned();
                let line = self.names.refused(now, node, provider, *reason);
                self.lines.push_back(line);
            }
            Event::ProviderFailed { provider, error } => {
                let line = self.providers.failed(now, *provider, error);
                self.lines.push_back(line);
            }
            Event::ProviderNotice { provider, message } => {
                self.provider_warning(*provider, message);
            }
            Event::PartialAnswers { .. } | Event::TooManyNew { .. } => {
                if let Some((provider, warning)) = event.provider_warning() {
                    self.provider_warning(provider, &warning);
                }
            }
            Event::ProviderRecovered { provider } => {
                let line = self.providers.recovered(now, *provider);
                self.lines.push_back(line);
            }
        }
        self.wake(now);
    }

    /// Writes the summaries whose time has come.
    pub fn wake(&mut self, now: Duration) {
        self.lines.extend(self.failures.summary(now));
        self.lines.extend(self.names.summary(now));
        self.lines.extend(self.providers.reminders(now));
    }

    /// The moment to come back with [`wake`](Self::wake) if nothing else happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let wakes = [
            self.failures.next_wake(),
            self.names.next_wake(),
            self.providers.next_wake(),
        ];
        wakes.into_iter().flatten().min()
    }

    /// The next line, or `None` when that was all.
    pub fn poll_line(&mut self) -> Option<Line> {
        let line = self.lines.pop_front();
        if line.is_none() {
            self.lines.shrink_to(64);
        }
        line
    }

    /// An attempt to connect begins; `port` is where the node listens, if a provider says so.
    pub fn connecting(&mut self, node: &NodeName, port: Option<u16>) {
        let port = port.map_or_else(String::new, |port| {
            format!(", which listens on port {port}")
        });
        self.lines.push_back(
            Line::new(
                Level::Debug,
                "connecting",
                "connecting",
                format!("connecting to {node}{port}"),
            )
            .node(node),
        );
    }

    /// A provider gave a complete answer of so many names, or failed.
    pub fn looked(&mut self, provider: ProviderId, answer: Result<usize, &str>) {
        self.lines
            .push_back(self.providers.looked(provider, answer));
    }

    /// What a provider says of its safety.
    pub fn provider_warning(&mut self, provider: ProviderId, warning: &str) {
        self.lines
            .push_back(self.providers.warning(provider, warning));
    }

    /// The machine slept or its clock was set.
    pub fn time_jumped(&mut self, jump: Duration) {
        self.lines.push_back(Line::new(
            Level::Notice,
            "time_jump",
            "the machine slept or its clock was set",
            format!(
                "the machine slept or its clock was set ({} are missing): looking and announcing anew",
                span(jump)
            ),
        ));
    }

    /// So many providers did not say goodbye within that time.
    pub fn no_goodbye(&mut self, providers: usize, within: Duration) {
        let text = format!(
            "{providers} providers did not say goodbye within {}",
            span(within)
        );
        let line = Line::new(
            Level::Warning,
            "no_goodbye",
            "providers did not say goodbye",
            text,
        );
        self.lines.push_back(line.count(providers));
    }

    fn is_named(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|known| known.named_by > 0)
    }

    fn discovered(&mut self, now: Duration, node: &NodeName, provider: ProviderId) {
        self.providers.named(provider);
        let known = self.nodes.entry(node.clone()).or_default();
        known.named_by += 1;
        let first = known.named_by == 1;
        // The node was connected by another program before a provider named it.
        let connected = first && known.up && !known.told_up;
        known.told_up |= connected;
        let provider = self.providers.name(provider);
        let line = match first {
            true => self.names.found(now, node, provider, connected),
            false => self.names.also(node, provider),
        };
        self.lines.push_back(line);
    }

    fn withdrawn(&mut self, now: Duration, node: &NodeName, provider: ProviderId) {
        self.providers.unnamed(provider);
        let Some(known) = self.nodes.get_mut(node) else {
            return;
        };
        known.named_by = known.named_by.saturating_sub(1);
        let provider = self.providers.name(provider);
        if known.named_by > 0 {
            let line = self.names.no_longer_by(node, provider);
            return self.lines.push_back(line);
        }
        let gone = !known.up;
        let told = self.failures.unnamed(now, node);
        let line = self.names.gone(now, node, provider, told);
        self.lines.push_back(line);
        self.lines.extend(self.failures.healed());
        if gone {
            self.nodes.remove(node);
        }
    }

    fn joined(&mut self, node: &NodeName, after: Option<Duration>) {
        let told = self.failures.connected(node);
        let known = self.nodes.entry(node.clone()).or_default();
        let again = std::mem::replace(&mut known.was_up, true);
        known.up = true;
        known.told_up = known.named_by > 0;
        let level = match (known.named_by, told) {
            (0, false) => Level::Debug,
            (_, true) => Level::Notice,
            (_, false) => Level::Info,
        };
        let text = match after {
            Some(after) if again => format!("connected to {node} again after {}", span(after)),
            Some(after) => format!("connected to {node}, {} after it was found", span(after)),
            None => format!("connected to {node}"),
        };
        self.lines.push_back(Line {
            after,
            ..Line::new(level, "joined", "connected", text).node(node)
        });
        self.lines.extend(self.failures.healed());
    }

    fn left(&mut self, node: &NodeName, reason: Option<&str>) {
        let Some(known) = self.nodes.get_mut(node) else {
            return;
        };
        known.up = false;
        let told = std::mem::take(&mut known.told_up);
        let named = known.named_by > 0;
        let level = match (named, told) {
            (true, _) => Level::Notice,
            // A peer says goodbye before it goes.
            (false, true) => Level::Info,
            (false, false) => Level::Debug,
        };
        let why = reason.map_or_else(String::new, |reason| format!(" ({})", cut(reason)));
        let unnamed = if named { "" } else { "; no provider names it" };
        if !named {
            self.nodes.remove(node);
        }
        let text = format!("the connection to {node} ended{why}{unnamed}");
        let mut line = Line::new(level, "left", "the connection ended", text).node(node);
        line.reason = reason.map(cut);
        self.lines.push_back(line);
    }
}
