//! What a soak says at its end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::ledger::Fault;
use crate::settings::{Settings, WHOLE_WITHIN};

/// What happened so far.
#[derive(Default)]
pub struct Report {
    pub rounds: u32,
    pub faults: Vec<Fault>,
    /// How many connections faults of a kind ended, by the reason that was told.
    downs: BTreeMap<&'static str, BTreeMap<String, u32>>,
    pub unexplained: Vec<String>,
    pub by_global: Vec<String>,
    /// How long it took until the cluster was whole, for the rounds in which a fault of the kind was.
    heals: BTreeMap<&'static str, Vec<Duration>>,
    all_heals: Vec<Duration>,
    /// How many rounds took too long.
    pub late: u32,
    pub failures: Vec<String>,
}

impl Report {
    /// A connection was lost because of a fault.
    pub fn down(&mut self, kind: &'static str, reason: &str) {
        let reasons = self.downs.entry(kind).or_default();
        // Times and numbers in it would make each one another.
        let reason: String = reason
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(60)
            .collect();
        *reasons.entry(reason).or_default() += 1;
    }

    /// The cluster was whole so long after these faults.
    pub fn healed(&mut self, faults: &[Fault], after: Duration) {
        self.all_heals.push(after);
        let kinds: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.kind).collect();
        for kind in kinds {
            self.heals.entry(kind).or_default().push(after);
        }
    }

    /// The text, and what failed.
    pub fn conclude(
        self,
        settings: &Settings,
        grown: Vec<String>,
        resources: &str,
    ) -> (String, Vec<String>) {
        let mut text = String::new();
        let mut failures = self.failures;
        let _ = writeln!(
            text,
            "\nSoak with seed {}: {} rounds, {} faults\n\n{:<16}{:>6}{:>8}  {:>12}{:>12}  reasons",
            settings.seed,
            self.rounds,
            self.faults.len(),
            "fault",
            "times",
            "downs",
            "heal median",
            "slowest"
        );
        let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
        for fault in &self.faults {
            *kinds.entry(fault.kind).or_default() += 1;
        }
        for (kind, times) in kinds {
            let reasons = self.downs.get(kind).cloned().unwrap_or_default();
            let heals = self.heals.get(kind).cloned().unwrap_or_default();
            let shown: Vec<_> = reasons
                .iter()
                .map(|(reason, times)| format!("{times} {reason}"))
                .collect();
            let _ = writeln!(
                text,
                "{kind:<16}{times:>6}{:>8}  {:>12}{:>12}  {}",
                reasons.values().sum::<u32>(),
                seconds(median(&heals)),
                seconds(heals.iter().max().copied()),
                shown.join("; ")
            );
        }
        let _ = writeln!(
            text,
            "\nall faults, by when they began and ended in milliseconds:"
        );
        for fault in &self.faults {
            let _ = writeln!(
                text,
                "  {} {} {}: {}",
                fault.began, fault.ended, fault.kind, fault.what
            );
        }
        let explained: u32 = self.downs.values().flat_map(BTreeMap::values).sum();
        let _ = writeln!(
            text,
            "\nlost connections: {explained} explained by a fault, {} cut by OTP's global after an abrupt fault, {} unexplained",
            self.by_global.len(),
            self.unexplained.len()
        );
        for line in self.by_global.iter().chain(&self.unexplained).take(200) {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(
            text,
            "whole after the last fault of a round: median {}, slowest {}; {} of {} rounds took more than {WHOLE_WITHIN:?}\n\n{resources}",
            seconds(median(&self.all_heals)),
            seconds(self.all_heals.iter().max().copied()),
            self.late,
            self.rounds
        );
        if !self.unexplained.is_empty() {
            failures.push(format!(
                "{} connections between nodes that stayed were lost without a fault",
                self.unexplained.len()
            ));
        }
        if self.late > 0 {
            failures.push(format!(
                "{} rounds were not whole {WHOLE_WITHIN:?} after the last fault",
                self.late
            ));
        }
        failures.extend(grown);
        let verdict = if failures.is_empty() {
            "green".to_owned()
        } else {
            format!("RED:\n  {}", failures.join("\n  "))
        };
        let _ = writeln!(text, "{verdict}");
        (text, failures)
    }
}

fn median(spans: &[Duration]) -> Option<Duration> {
    let mut sorted = spans.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied()
}

fn seconds(span: Option<Duration>) -> String {
    span.map_or_else(
        || "-".to_owned(),
        |span| format!("{:.1} s", span.as_secs_f64()),
    )
}
