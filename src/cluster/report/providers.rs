//! Providers that fail and answer again.
//!
//! The engine says each first failure, each other one and each end of them, to subscribers without limit. What of it is
//! worth a line is decided here.

use std::collections::VecDeque;
use std::time::Duration;

use super::Limit;
use super::line::{Level, Line, cut, span, without_numbers};
use crate::cluster::ProviderId;

/// How many failures of one provider are told at once, and how often one more.
const SINGLE: (u32, Duration) = (3, Duration::from_secs(30));
/// How often it is told again that a provider fails.
const REMIND: Duration = Duration::from_secs(600);

/// A failure that returns within this time after it was logged is not logged again, and neither is its end.
const REPEATED_WITHIN: Duration = Duration::from_secs(600);
/// A repeated failure that lasts this long is logged again: the last line about it said that it was over.
const LASTING: Duration = Duration::from_secs(60);
/// How many different failures of a provider are remembered.
const REMEMBERED: usize = 8;

#[derive(Debug)]
pub(super) struct Providers(Vec<Provider>);

#[derive(Debug)]
struct Provider {
    name: String,
    /// How many nodes it names.
    nodes: usize,
    single: Limit,
    failing: Option<Failing>,
    /// The failures that were told, without their numbers, each with the time at which it was.
    told: VecDeque<(String, Duration)>,
}

#[derive(Debug)]
struct Failing {
    since: Duration,
    error: String,
    /// The last error that was told, without its numbers.
    told: Option<String>,
    remind_at: Duration,
}

impl Provider {
    /// Takes in a failure. Whether it is told now.
    fn fail(&mut self, now: Duration, error: &str) -> bool {
        let plain = without_numbers(error);
        self.told
            .retain(|(_, at)| now.saturating_sub(*at) < REPEATED_WITHIN);
        let repeated = self.told.iter().any(|(told, _)| *told == plain);
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: now,
            error: String::new(),
            told: None,
            remind_at: now + if repeated { LASTING } else { REMIND },
        });
        error.clone_into(&mut failing.error);
        if repeated || failing.told.as_ref() == Some(&plain) || !self.single.take(now) {
            return false;
        }
        failing.told = Some(plain.clone());
        self.remember(now, plain);
        true
    }

    fn remember(&mut self, now: Duration, plain: String) {
        self.told.retain(|(told, _)| *told != plain);
        if self.told.len() == REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back((plain, now));
    }
}

impl Providers {
    pub(super) fn new(names: Vec<String>) -> Self {
        let provider = |name| Provider {
            name,
            nodes: 0,
            single: Limit::new(SINGLE.0, SINGLE.1),
            failing: None,
            told: VecDeque::new(),
        };
        Self(names.into_iter().map(provider).collect())
    }

    pub(super) fn name(&self, provider: ProviderId) -> &str {
        self.0
            .get(provider.index())
            .map_or("?", |provider| &provider.name)
    }

    pub(super) fn named(&mut self, provider: ProviderId) {
        if let Some(provider) = self.0.get_mut(provider.index()) {
            provider.nodes += 1;
        }
    }

    pub(super) fn unnamed(&mut self, provider: ProviderId) {
        if let Some(provider) = self.0.get_mut(provider.index()) {
            provider.nodes = provider.nodes.saturating_sub(1);
        }
    }

    /// The first failure, or another one than before.
    pub(super) fn failed(&mut self, now: Duration, id: ProviderId, error: &str) -> Line {
        let name = self.name(id).to_owned();
        let mut level = Level::Debug;
        let mut nodes = 0;
        if let Some(provider) = self.0.get_mut(id.index()) {
            nodes = provider.nodes;
            if provider.fail(now, error) {
                level = Level::Warning;
            }
        }
        let kept = match nodes {
            0 => "no nodes are known from it".to_owned(),
            1 => "the node that it named before is kept".to_owned(),
            nodes => format!("the {nodes} nodes that it named before are kept"),
        };
        let text = format!("{name} failed: {} ({kept})", cut(error));
        Line::new(level, "provider_failed", "a provider failed", text).provider(&name)
    }

    pub(super) fn recovered(&mut self, now: Duration, id: ProviderId) -> Line {
        let name = self.name(id).to_owned();
        let provider = self.0.get_mut(id.index());
        let failing = provider.and_then(|provider| provider.failing.take());
        let level = match &failing {
            Some(failing) if failing.told.is_none() => Level::Debug,
            _ => Level::Notice,
        };
        let after = failing.map(|failing| now.saturating_sub(failing.since));
        let text = match after {
            Some(after) => format!("{name} answers again after {}", span(after)),
            None => format!("{name} answers again"),
        };
        let line = Line::new(
            level,
            "provider_recovered",
            "a provider answers again",
            text,
        );
        Line {
            after,
            ..line.provider(&name)
        }
    }

    /// Every complete answer, and every failure.
    pub(super) fn looked(&self, provider: ProviderId, answer: Result<usize, &str>) -> Line {
        let name = self.name(provider);
        let (event, phrase, text, count) = match answer {
            Ok(names) => (
                "provider_answered",
                "a provider answered",
                format!("{name} names {names} nodes"),
                Some(names),
            ),
            Err(error) => (
                "provider_failed",
                "a provider failed",
                format!("{name} failed: {}", cut(error)),
                None,
            ),
        };
        Line {
            count,
            ..Line::new(Level::Debug, event, phrase, text).provider(name)
        }
    }

    pub(super) fn warning(&self, provider: ProviderId, warning: &str) -> Line {
        let name = self.name(provider);
        let text = format!("{name}: {warning}");
        Line::new(Level::Warning, "provider_warning", "a provider warns", text).provider(name)
    }

    pub(super) fn next_wake(&self) -> Option<Duration> {
        let failing = self
            .0
            .iter()
            .filter_map(|provider| provider.failing.as_ref());
        failing.map(|failing| failing.remind_at).min()
    }

    /// Those that have failed for long.
    pub(super) fn reminders(&mut self, now: Duration) -> Vec<Line> {
        let mut lines = Vec::new();
        for provider in &mut self.0 {
            let Some(failing) = provider
                .failing
                .as_mut()
                .filter(|failing| failing.remind_at <= now)
            else {
                continue;
            };
            failing.remind_at = now + REMIND;
            let since = now.saturating_sub(failing.since);
            let plain = without_numbers(&failing.error);
            // It was told before, and then that it is over.
            let level = match failing.told.replace(plain.clone()) {
                None => Level::Warning,
                Some(_) => Level::Notice,
            };
            let text = format!(
                "{} has failed for {}: {}",
                provider.name,
                span(since),
                cut(&failing.error)
            );
            let line = Line::new(level, "provider_failed", "a provider still fails", text);
            lines.push(Line {
                after: Some(since),
                ..line.provider(&provider.name)
            });
            provider.remember(now, plain);
        }
        lines
    }
}
