//! Names that a source leaves out of its answers.
//!
//! Route 53, Cloud Map and Consul answer with a random part of what they know. A name that is missing from
//! one answer is therefore not gone. For a provider with a `keep_for` above zero a name goes only after it was
//! missing from several complete answers in a row and for that long. A source that gives ever different parts
//! is recognised, and its names are kept until their absence can no longer be chance.

use std::collections::HashMap;
use std::time::Duration;

use super::Engine;
use crate::cluster::{Event, ProviderId};
use crate::name::NodeName;

/// How many complete answers in a row must leave out a name before it goes.
const ANSWERS: u32 = 3;

/// How many such answers a source of parts must give, for each time that its answer fits into all that it
/// named: a name that is there is missing from that many in a row once in a million times.
const ANSWERS_OF_PARTS: u32 = 14;

/// How many exchanges make a source one of parts.
const EXCHANGES: u32 = 4;

/// How often a name must have come back for its return to be part of an exchange.
const RETURNS: u32 = 3;

/// When answers have not changed for this long, what came and went before counts no longer.
const QUIET: Duration = Duration::from_secs(60 * 60);

/// An answer that lasts longer says nothing about how long answers last.
const LONGEST_PERIOD: Duration = Duration::from_secs(5 * 60);

/// How many names a provider's history holds.
const REMEMBERED: usize = 1_024;

/// Complete answers of a provider, the last ones in a row, that left out a node which the provider still names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) provider: ProviderId,
    pub(super) since: Duration,
    pub(super) answers: u32,
}

/// What a provider's answers have left out so far.
#[derive(Debug, Default)]
pub(super) struct Absences {
    /// How long a name stays that is left out. Zero: every answer is exact.
    pub(super) keep_for: Duration,
    /// Names that were left out at some time.
    history: HashMap<NodeName, Absence>,
    exchanges: u32,
    /// When an answer last differed from the one before, and how long one answer lasts.
    changed_at: Duration,
    period: Duration,
    /// The source gives ever different parts.
    pub(super) parts: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Absence {
    /// The last answer left it out.
    out: bool,
    /// How often it came back.
    returns: u32,
}

impl Absences {
    /// Notes that an answer leaves out a name; whether the one before had it.
    fn leave_out(&mut self, name: &NodeName) -> bool {
        if let Some(absence) = self.history.get_mut(name) {
            return !std::mem::replace(&mut absence.out, true);
        }
        if self.history.len() < REMEMBERED {
            let absence = Absence {
                out: true,
                returns: 0,
            };
            self.history.insert(name.clone(), absence);
        }
        true
    }

    /// Notes that an answer has a name; how often it came back, if it comes back with this answer.
    fn name(&mut self, name: &NodeName) -> Option<u32> {
        let absence = self.history.get_mut(name).filter(|absence| absence.out)?;
        absence.out = false;
        absence.returns = absence.returns.saturating_add(1);
        Some(absence.returns)
    }

    /// After a quiet hour what comes and goes has nothing to do with what did so before.
    fn forget(&mut self, now: Duration) {
        if now.saturating_sub(self.changed_at) > QUIET {
            self.exchanges = 0;
            self.history.retain(|_, absence| absence.out);
            for absence in self.history.values_mut() {
                absence.returns = 0;
            }
        }
    }

    /// An answer in which one name came back once more while another one went missing. Whether the source is
    /// one of parts from now on.
    ///
    /// A node that restarts goes and comes back too, and so do all nodes in a rolling restart, one after the
    /// other. But they do not do so again and again.
    fn exchanged(&mut self) -> bool {
        self.exchanges = self.exchanges.saturating_add(1);
        let recognised = !self.parts && self.exchanges >= EXCHANGES;
        self.parts |= recognised;
        recognised
    }

    /// An answer that differs from the one before. What a cache repeats is one answer.
    fn changed(&mut self, now: Duration) {
        let lasted = now.saturating_sub(self.changed_at).min(LONGEST_PERIOD);
        self.changed_at = now;
        self.period = if self.period.is_zero() {
            lasted
        } else {
            (self.period * 3 + lasted) / 4
        };
    }

    /// How many complete answers in a row must leave out a name, and for how long, if an answer has `answered`
    /// of `named` names.
    fn needed(&self, named: usize, answered: usize) -> (u32, Duration) {
        if !self.parts {
            return (ANSWERS, self.keep_for);
        }
        let answers = (ANSWERS_OF_PARTS as usize * named).div_ceil(answered.max(1));
        let answers = u32::try_from(answers).unwrap_or(u32::MAX).max(ANSWERS);
        (
            answers,
            self.keep_for.max(self.period.saturating_mul(answers)),
        )
    }
}

impl Engine {
    /// Has the names of a provider kept for this long after its answers began to leave them out. Zero, which
    /// holds until this is called: a complete answer without a name withdraws it at once.
    ///
    /// In any case a name goes only with a complete answer, never while the provider fails.
    pub fn set_keep_for(&mut self, provider: ProviderId, keep_for: Duration) {
        self.provider(provider).absences.keep_for = keep_for;
    }

    /// A complete answer has these names. Returns how often the name came back that comes back with it and did
    /// so most often.
    pub(super) fn names_present(&mut self, provider: ProviderId, names: &[NodeName]) -> u32 {
        let now = self.now;
        let absences = &mut self.provider(provider).absences;
        if absences.keep_for.is_zero() || absences.history.is_empty() {
            return 0;
        }
        absences.forget(now);
        let mut most = 0;
        let mut back = Vec::new();
        for name in names {
            if let Some(returns) = absences.name(name) {
                most = most.max(returns);
                back.push(name);
            }
        }
        for name in back {
            if let Some(&id) = self.index.get(name)
                && self.nodes[id].named_by.contains(provider)
            {
                self.nodes[id].missed.retain(|m| m.provider != provider);
                // It may have restarted meanwhile.
                self.end_backoff(id);
                self.reconcile(id);
            }
        }
        most
    }

    /// A complete answer with `answered` names leaves out these nodes; `returns` as [`Self::names_present`]
    /// says. Returns those that go.
    pub(super) fn names_absent(
        &mut self,
        provider: ProviderId,
        missing: Vec<usize>,
        answered: usize,
        returns: u32,
    ) -> Vec<usize> {
        let now = self.now;
        let state = self.provider(provider);
        let named = state.nodes;
        if state.absences.keep_for.is_zero() {
            return missing;
        }
        let mut newly = false;
        for &id in &missing {
            let name = self.nodes[id].name.clone();
            newly |= self.provider(provider).absences.leave_out(&name);
        }
        let absences = &mut self.provider(provider).absences;
        if newly || returns > 0 {
            absences.changed(now);
        }
        if newly && returns >= RETURNS && absences.exchanged() {
            self.say(Event::PartialAnswers {
                provider,
                named,
                answered,
            });
        }
        let (answers, time) = self.provider(provider).absences.needed(named, answered);
        missing
            .into_iter()
            .filter(|&id| {
                let missed = self.nodes[id].miss(provider, now);
                missed.answers >= answers && now.saturating_sub(missed.since) >= time
            })
            .collect()
    }
}
