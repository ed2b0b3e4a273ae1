//! What the engine knows of one node.

use std::time::Duration;

use crate::cluster::{ConnectError, ProviderId, ProviderSet, Refusal};
use crate::name::NodeName;

use super::absent::Missed;
use super::turns::Turn;

/// The facts about a node, and what follows from them and is kept up to date by `Engine::reconcile`.
///
/// All moments are the engine's: times since the fixed moment that its `now` counts from.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: NodeName,

    // Facts.
    /// Who names it.
    pub(super) named_by: ProviderSet,
    /// When the announcements end by which it is named. A provider that answers whole has none here.
    pub(super) leases: Vec<Lease>,
    /// The answers that left it out, of those providers that name it nonetheless.
    pub(super) missed: Vec<Missed>,
    /// When it was first named since it was last named by nobody.
    pub(super) first_named: Option<Duration>,
    /// Why it is not wanted although it is named.
    pub(super) refused: Option<Refusal>,
    /// Since when there is a connection.
    pub(super) connected: Option<Duration>,
    /// It is connected, hidden and not wanted: a remote shell, a sidecar, a tool. It is not a peer.
    pub(super) guest: bool,
    /// Since when it is wanted and not connected.
    pub(super) missing: Option<Duration>,
    /// The attempt under way. It can outlast the making of the connection that it is about.
    pub(super) attempt: Option<Attempt>,
    /// Attempts in a row that failed, and connections that did not last.
    pub(super) failures: u32,
    /// Why the last attempt failed. Boxed since most nodes have none.
    pub(super) last_error: Option<Box<ConnectError>>,
    /// No attempt before this.
    pub(super) not_before: Duration,
    /// No sighting ends a backoff before this.
    pub(super) no_reset_before: Duration,
    /// It was wanted at some time during its connection or the attempt at it, so that this is the engine's to
    /// end.
    pub(super) claimed: bool,
    /// A disconnect was decided on and is not handed out yet.
    pub(super) cutting: bool,
    /// The complete answer that named it last.
    pub(super) stamp: u32,

    // What follows.
    /// Its place in the queue of those to connect to.
    pub(super) turn: Option<Turn>,
    /// Its place in the queue of those refused for want of room.
    pub(super) place: Option<u64>,
    /// When to disconnect it.
    pub(super) cut_at: Option<Duration>,
    /// When to forget it, if only its failures are remembered.
    pub(super) forget_at: Option<Duration>,
    /// The one alarm that is set for it, never after [`Node::deadline`].
    pub(super) alarm: Option<Duration>,
    /// Whether it counts towards `max_nodes`.
    pub(super) counted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) provider: ProviderId,
    pub(super) expires: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) since: Duration,
    pub(super) given_up_at: Duration,
    /// It took one of the places that retries may have.
    pub(super) retry: bool,
    /// The node went down meanwhile: an `ok` may be about the connection that is gone.
    pub(super) outdated: bool,
}

impl Node {
    pub(super) fn new(name: NodeName) -> Self {
        Self {
            name,
            named_by: ProviderSet::default(),
            leases: Vec::new(),
            missed: Vec::new(),
            first_named: None,
            refused: None,
            connected: None,
            guest: false,
            missing: None,
            attempt: None,
            failures: 0,
            last_error: None,
            not_before: Duration::ZERO,
            no_reset_before: Duration::ZERO,
            claimed: false,
            cutting: false,
            stamp: 0,
            turn: None,
            place: None,
            cut_at: None,
            forget_at: None,
            alarm: None,
            counted: false,
        }
    }

    /// Whether the engine is to be connected to it.
    pub(super) fn wanted(&self) -> bool {
        !self.named_by.is_empty() && self.refused.is_none()
    }

    /// Whether it is wanted and nothing but time stands between it and an attempt.
    pub(super) fn lacks_attempt(&self) -> bool {
        self.wanted() && self.connected.is_none() && self.attempt.is_none()
    }

    /// Whether nothing but its failures is left of it.
    pub(super) fn is_past(&self) -> bool {
        self.named_by.is_empty() && self.connected.is_none() && self.attempt.is_none()
    }

    /// Whether status pages show it: it is named, or a peer that is connected or being connected to.
    pub(super) fn is_shown(&self) -> bool {
        let unnamed_guest = self.guest && self.named_by.is_empty();
        !unnamed_guest && !self.is_past()
    }

    /// Whether it holds one of the places that `max_nodes` limits: all but guests and those that are only refused.
    pub(super) fn counts(&self) -> bool {
        !self.guest
            && (self.refused.is_none() || self.connected.is_some() || self.attempt.is_some())
    }

    /// Sets or ends the announcement by which the provider names it.
    pub(super) fn lease(&mut self, provider: ProviderId, expires: Option<Duration>) {
        let held = self.leases.iter().position(|l| l.provider == provider);
        match (held, expires) {
            (Some(i), Some(expires)) => self.leases[i].expires = expires,
            (Some(i), None) => {
                self.leases.swap_remove(i);
            }
            (None, Some(expires)) => {
                // One announcing provider is the rule; `push` alone would make room for four.
                self.leases.reserve_exact(1);
                self.leases.push(Lease { provider, expires });
            }
            (None, None) => {}
        }
    }

    /// Notes that a complete answer of the provider, which names it, leaves it out.
    pub(super) fn miss(&mut self, provider: ProviderId, now: Duration) -> Missed {
        let known = self.missed.iter().position(|m| m.provider == provider);
        let index = known.unwrap_or_else(|| {
            self.missed.push(Missed {
                provider,
                since: now,
                answers: 0,
            });
            self.missed.len() - 1
        });
        let missed = &mut self.missed[index];
        missed.answers = missed.answers.saturating_add(1);
        *missed
    }

    /// The next moment at which something about it changes by itself.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let retry = (self.lacks_attempt() && self.turn.is_none()).then_some(self.not_before);
        let retry = retry.filter(|&at| at < Duration::MAX);
        let given_up = self.attempt.map(|attempt| attempt.given_up_at);
        let lease = self.leases.iter().map(|lease| lease.expires).min();
        [retry, given_up, lease, self.cut_at, self.forget_at]
            .into_iter()
            .flatten()
            .min()
    }
}
