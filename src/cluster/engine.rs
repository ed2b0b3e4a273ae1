//! Decides whom to connect to and when. It opens no socket, reads no clock and spawns nothing.
//!
//! # What it holds to
//! - A node is wanted while any provider names it, unless it is the own one or is refused.
//! - A complete answer replaces what its provider named before. A failed lookup changes nothing. A provider
//!   whose answers may be parts of something larger has a `keep_for`: see [`Engine::set_keep_for`].
//! - Names that were never seen before are let in at a bounded rate: see [`Policy::max_new_nodes`].
//! - A node that is wanted and not connected is tried: at once when it is new, after a short random time
//!   when its connection was lost, and with growing pauses after failures.
//! - A *fresh sighting* ends such a pause: the node came back after nobody named it, or announced that it
//!   has just started ([`Input::Started`]). Merely being named again does not, or a node that announces
//!   itself five times a second and cannot be reached would be dialled five times a second. For the same
//!   reason one fresh sighting counts in [`Backoff::max`](super::Backoff::max), and the failures of a node
//!   that nobody names any longer are remembered for that long.
//! - A failure that no retry can heal ([`ConnectError::is_permanent`]) is told once. The node is tried again
//!   after a fresh sighting or [`Input::Refresh`].
//! - A connected hidden node is a peer only while it is wanted. Any other is a guest: no event tells of it, it
//!   is not listed and takes no place.
//! - A node that is not wanted, not connected, and has no failures to remember is forgotten.

mod absent;
mod consistency;
mod newcomers;
mod node;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use slab::Slab;

use self::absent::Absences;
use self::newcomers::Newcomers;
use self::node::{Attempt, Node};
use self::turns::Turns;
use super::io::{Action, ConnectError, Event, Input, ProviderId, Refusal};
use super::policy::{OnRemoved, Policy, jitter};
use super::random::Dice;
use super::view::{Counters, NodeState, NodeView, ProviderView};
use crate::name::NodeName;

/// How many nodes that are refused are remembered, so that each is said once. The rest are only counted.
const REFUSED_REMEMBERED: usize = 1_024;

/// The longest time that [`Engine::next_wake`] lies ahead, so that adding it to a clock never overflows.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The moment of an attempt that is not made by itself.
const NEVER: Duration = Duration::MAX;

/// Decides whom to connect to and when.
///
/// After every [`handle`](Self::handle) take all that [`poll_action`](Self::poll_action) has, and come back
/// with [`Input::Wake`] when [`next_wake`](Self::next_wake) has come.
///
/// ```
/// use std::time::Duration;
/// use rendez::cluster::{Action, Engine, Input, Policy, ProviderId};
///
/// let mut engine = Engine::new("a@h".parse().ok(), Policy::default(), 1);
/// let provider = ProviderId::new(0).unwrap();
/// let nodes = vec!["a@h".parse().unwrap(), "b@h".parse().unwrap()];
/// engine.handle(Duration::ZERO, Input::Snapshot { provider, nodes });
/// let actions: Vec<Action> = std::iter::from_fn(|| engine.poll_action()).collect();
/// assert_eq!(actions.last(), Some(&Action::Connect("b@h".parse().unwrap())));
/// ```
#[derive(Debug)]
pub struct Engine {
    own: Option<NodeName>,
    policy: Policy,
    dice: Dice,
    now: Duration,
    nodes: Slab<Node>,
    /// Only looked up in, never walked: its order is random, and nothing may depend on it.
    index: HashMap<NodeName, usize>,
    /// At most one a node, see [`Node::alarm`].
    alarms: BTreeSet<(Duration, usize)>,
    turns: Turns,
    /// Nodes refused because the cluster was full or too many new ones came, the first one first.
    without_place: BTreeMap<u64, usize>,
    places: u64,
    newcomers: Newcomers,
    /// By their index. Those that said nothing yet may be missing.
    providers: Vec<Provider>,
    /// Events and disconnects. Whom to connect to is decided when it is asked.
    outbox: VecDeque<Action>,
    in_flight: usize,
    retries_in_flight: usize,
    /// How many nodes count towards `max_nodes`.
    counted: usize,
    stamp: u32,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Provider {
    nodes: usize,
    names_self: bool,
    last_answer: Option<Duration>,
    error: Option<String>,
    failures: u32,
    absences: Absences,
}

impl Provider {
    /// Takes in a failure. Whether it is another one than before.
    fn fail(&mut self, error: &str) -> bool {
        self.failures = self.failures.saturating_add(1);
        let is_new = self.error.as_deref() != Some(error);
        if is_new {
            self.error = Some(error.to_owned());
        }
        is_new
    }

    /// Takes in an answer. Whether there was a failure before.
    fn recover(&mut self, now: Duration) -> bool {
        self.last_answer = Some(now);
        self.failures = 0;
        self.error.take().is_some()
    }
}

impl Engine {
    /// An engine that knows nothing yet.
    ///
    /// `own` is the node that is never connected to; without it every named node is. The same `seed` and
    /// inputs give the same actions.
    #[must_use]
    pub fn new(own: Option<NodeName>, policy: Policy, seed: u64) -> Self {
        Self {
            own,
            newcomers: Newcomers::new(policy.max_new_nodes),
            policy,
            dice: Dice::new(seed),
            now: Duration::ZERO,
            nodes: Slab::new(),
            index: HashMap::new(),
            alarms: BTreeSet::new(),
            turns: Turns::default(),
            without_place: BTreeMap::new(),
            places: 0,
            providers: Vec::new(),
            outbox: VecDeque::new(),
            in_flight: 0,
            retries_in_flight: 0,
            counted: 0,
            stamp: 0,
            counters: Counters::default(),
        }
    }

    /// Takes what was learnt at `now`, the time since any fixed moment. A `now` before an earlier one is
    /// taken for the earlier one.
    ///
    /// What was learnt goes before what time brings about: an announcement that lay in a queue while the
    /// process was suspended still renews the one that has run out meanwhile.
    pub fn handle(&mut self, now: Duration, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Snapshot { provider, nodes } => self.snapshot(provider, nodes),
            Input::Failed { provider, error } => self.lookup_failed(provider, error),
            Input::Seen {
                provider,
                node,
                ttl,
            } => self.announced(provider, node, ttl, false),
            Input::Started {
                provider,
                node,
                ttl,
            } => self.announced(provider, node, ttl, true),
            Input::Gone { provider, node } => self.gone(provider, &node),
            Input::Up { node } => self.up(node, false),
            Input::UpHidden { node } => self.up(node, true),
            Input::Down { node, reason } => self.down(&node, reason),
            Input::ConnectResult { node, result } => self.connect_result(&node, result),
            Input::Refresh => self.refresh(),
            Input::Wake => {}
        }
        self.ring();
        self.give_places();
    }

    /// What is to be done next, or `None` when that was all.
    pub fn poll_action(&mut self) -> Option<Action> {
        while let Some(action) = self.outbox.pop_front() {
            if let Action::Disconnect(name) = &action {
                // It may have been named again, or gone, since this was decided.
                let node = self.index.get(name).map(|&id| &mut self.nodes[id]);
                let Some(node) = node.filter(|node| node.cutting) else {
                    continue;
                };
                node.cutting = false;
                node.claimed = false;
                self.counters.disconnects += 1;
            }
            return Some(action);
        }
        // A snapshot can fill it with thousands of events, whose room is not needed again soon.
        self.outbox.shrink_to(64);
        self.begin_attempt().map(Action::Connect)
    }

    /// The moment to come back with [`Input::Wake`] if nothing else happens before, on the clock of `now`.
    ///
    /// It is never later than needed, can be earlier, and is not more than a day ahead. `None`: nothing
    /// changes by itself. Take all actions first.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let alarm = self.alarms.first().map(|&(at, _)| at);
        let newcomer = (!self.without_place.is_empty() && !self.is_full())
            .then(|| self.newcomers.next(self.now))
            .flatten();
        let at = alarm.into_iter().chain(newcomer).min()?;
        Some(at.min(self.now.saturating_add(LONGEST_SLEEP)))
    }

    // Providers.

    fn provider(&mut self, provider: ProviderId) -> &mut Provider {
        let index = provider.index();
        if index >= self.providers.len() {
            self.providers.resize_with(index + 1, Provider::default);
        }
        &mut self.providers[index]
    }

    fn answered(&mut self, provider: ProviderId) {
        let now = self.now;
        if self.provider(provider).recover(now) {
            self.say(Event::ProviderRecovered { provider });
        }
    }

    fn lookup_failed(&mut self, provider: ProviderId, error: String) {
        if self.provider(provider).fail(&error) {
            self.say(Event::ProviderFailed { provider, error });
        }
    }

    fn snapshot(&mut self, provider: ProviderId, names: Vec<NodeName>) {
        self.answered(provider);
        self.provider(provider).names_self = false;
        self.stamp = self.stamp.wrapping_add(1);
        let stamp = self.stamp;
        let answered = names.len();
        let returns = self.names_present(provider, &names);
        let mut news = Vec::new();
        for name in names {
            match self.index.get(&name) {
                Some(&id) if self.nodes[id].named_by.contains(provider) => {
                    let node = &mut self.nodes[id];
                    node.stamp = stamp;
                    node.lease(provider, None);
                }
                _ => news.push(name),
            }
        }
        // Who left goes first and makes room for who came.
        let missing: Vec<usize> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.named_by.contains(provider) && node.stamp != stamp)
            .map(|(id, _)| id)
            .collect();
        for id in self.names_absent(provider, missing, answered, returns) {
            self.withdraw(id, provider);
        }
        // A thousand nodes that start with the same list are not to knock at the same door first.
        self.dice.shuffle(&mut news);
        for name in news {
            self.name(provider, name, None, false);
        }
    }

    fn announced(&mut self, provider: ProviderId, name: NodeName, ttl: Duration, started: bool) {
        self.answered(provider);
        let expires = self.now.saturating_add(ttl);
        self.name(provider, name, Some(expires), started);
    }

    fn gone(&mut self, provider: ProviderId, name: &NodeName) {
        self.answered(provider);
        if let Some(&id) = self.index.get(name) {
            self.withdraw(id, provider);
        }
    }

    /// The provider names the node, until `expires` or until it says otherwise.
    fn name(
        &mut self,
        provider: ProviderId,
        name: NodeName,
        expires: Option<Duration>,
        started: bool,
    ) {
        if self.own.as_ref() == Some(&name) {
            self.provider(provider).names_self = true;
            return;
        }
        let known = self.index.get(&name).copied();
        let named = known.is_some_and(|id| !self.nodes[id].named_by.is_empty());
        let mut refusal = None;
        if !named {
            refusal = self.judge(&name, known);
            if refusal == Some(Refusal::TooManyNew) && self.newcomers.tells(self.now) {
                let per_hour = self.policy.max_new_nodes.unwrap_or(usize::MAX);
                self.say(Event::TooManyNew { provider, per_hour });
            }
            if refusal.is_some() {
                self.counters.refused += 1;
                let remembered = self.nodes.len() - self.counted;
                if known.is_none() && remembered >= REFUSED_REMEMBERED {
                    return;
                }
            }
        }
        let id = known.unwrap_or_else(|| self.insert(name));
        let (now, stamp) = (self.now, self.stamp);
        let node = &mut self.nodes[id];
        node.lease(provider, expires);
        node.stamp = stamp;
        if !named {
            node.refused = refusal;
            node.first_named = Some(now);
            node.missing = node.connected.is_none().then_some(now);
        }
        if !named || started {
            self.end_backoff(id);
        }
        let node = &mut self.nodes[id];
        if node.named_by.insert(provider) {
            let (name, refused) = (node.name.clone(), node.refused);
            self.provider(provider).nodes += 1;
            match refused {
                None => self.discovered(name, provider),
                Some(reason) if !named => self.say(Event::Refused {
                    node: name,
                    provider,
                    reason,
                }),
                Some(_) => {}
            }
        }
        self.reconcile(id);
    }

    fn discovered(&mut self, node: NodeName, provider: ProviderId) {
        self.counters.discovered += 1;
        self.say(Event::Discovered { node, provider });
    }

    /// Why a node that is newly named is not let in.
    fn judge(&mut self, name: &NodeName, known: Option<usize>) -> Option<Refusal> {
        // One that is connected, or remembered for its failures, has a place of its own already; but others
        // may have connected more nodes than there are places.
        let taken = match known {
            Some(id) if self.nodes[id].counted => self.counted - 1,
            _ => self.counted,
        };
        if !self.policy.accept.accepts(name) {
            Some(Refusal::NotAccepted)
        } else if self.policy.max_nodes.is_some_and(|max| taken >= max) {
            Some(Refusal::ClusterFull)
        } else if known.is_none()
            && self.policy.max_connecting > 0
            && !self.newcomers.admit(self.now, name)
        {
            Some(Refusal::TooManyNew)
        } else {
            None
        }
    }

    fn is_full(&self) -> bool {
        self.policy.max_nodes.is_some_and(|max| self.counted >= max)
    }

    /// A fresh sighting of the node: what failed before says nothing about what it is now.
    fn end_backoff(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        if node.failures == 0 {
            // Only the jitter after a lost connection is left, and whoever is back needs none.
            node.not_before = self.now;
        } else if node.no_reset_before <= self.now {
            node.failures = 0;
            node.not_before = self.now;
            node.no_reset_before = self.now.saturating_add(self.policy.backoff.max());
        } else if node.not_before == NEVER {
            // This sighting is its one chance of another attempt; it only comes too soon after an earlier one.
            node.not_before = node.not_before.min(node.no_reset_before);
        }
    }

    /// When a node may be tried again after `pause`.
    fn again_after(&self, pause: Duration) -> Duration {
        match self.policy.reconnect {
            true => self.now.saturating_add(pause),
            false => NEVER,
        }
    }

    /// The provider no longer names the node.
    fn withdraw(&mut self, id: usize, provider: ProviderId) {
        let node = &mut self.nodes[id];
        if !node.named_by.remove(provider) {
            return;
        }
        node.lease(provider, None);
        node.missed.retain(|missed| missed.provider != provider);
        let refused = node.refused.is_some();
        if node.named_by.is_empty() {
            node.first_named = None;
            node.missing = None;
            node.refused = None;
        }
        let name = node.name.clone();
        self.provider(provider).nodes -= 1;
        if !refused {
            self.counters.withdrawn += 1;
            self.say(Event::Withdrawn {
                node: name,
                provider,
            });
        }
        self.reconcile(id);
    }

    /// Lets in who was refused for want of a place, while there are places.
    fn give_places(&mut self) {
        while !self.is_full() {
            let Some((_, &id)) = self.without_place.first_key_value() else {
                return;
            };
            if !self.newcomers.admit(self.now, &self.nodes[id].name) {
                return;
            }
            self.without_place.pop_first();
            let node = &mut self.nodes[id];
            node.place = None;
            node.refused = None;
            let (name, named_by) = (node.name.clone(), node.named_by);
            for provider in named_by.iter() {
                self.discovered(name.clone(), provider);
            }
            self.reconcile(id);
        }
    }

    // Connections.

    fn up(&mut self, name: NodeName, hidden: bool) {
        if self.own.as_ref() == Some(&name) {
            return;
        }
        let known = self.index.get(&name).copied();
        let id = known.unwrap_or_else(|| self.insert(name));
        let node = &mut self.nodes[id];
        if hidden && node.connected.is_none() && !node.wanted() {
            node.connected = Some(self.now);
            node.guest = true;
            node.missing = None;
        } else if !hidden || !node.guest {
            self.joined(id);
        }
        self.reconcile(id);
    }

    fn joined(&mut self, id: usize) {
        let now = self.now;
        let node = &mut self.nodes[id];
        if node.connected.is_some() && !node.guest {
            return;
        }
        node.guest = false;
        node.connected.get_or_insert(now);
        node.last_error = None;
        let after = node.missing.take().map(|since| now.saturating_sub(since));
        let name = node.name.clone();
        self.counters.joined += 1;
        self.say(Event::Joined { node: name, after });
    }

    fn down(&mut self, name: &NodeName, reason: Option<String>) {
        let Some(&id) = self.index.get(name) else {
            return;
        };
        let (now, policy) = (self.now, &self.policy);
        let node = &mut self.nodes[id];
        if let Some(attempt) = &mut node.attempt {
            attempt.outdated = true;
        }
        let Some(since) = node.connected.take() else {
            return;
        };
        let guest = std::mem::take(&mut node.guest);
        let pause = if node.wanted() && now.saturating_sub(since) < policy.stable_after {
            node.failures = node.failures.saturating_add(1);
            policy.backoff.draw(node.failures, &mut self.dice)
        } else {
            node.failures = 0;
            node.no_reset_before = Duration::ZERO;
            let half = policy.reconnect_jitter / 2;
            half + jitter(half, &mut self.dice)
        };
        node.missing = (!node.named_by.is_empty()).then_some(now);
        let node = node.name.clone();
        self.nodes[id].not_before = self.again_after(pause);
        if !guest {
            self.counters.left += 1;
            self.say(Event::Left { node, reason });
        }
        self.reconcile(id);
    }

    fn begin_attempt(&mut self) -> Option<NodeName> {
        let most = self.policy.max_connecting;
        if self.in_flight >= most {
            return None;
        }
        let id = self
            .turns
            .next(self.retries_in_flight < (most / 2).max(1))?;
        let node = &mut self.nodes[id];
        let retry = node.turn.take().is_some_and(|turn| turn.retry);
        node.attempt = Some(Attempt {
            since: self.now,
            given_up_at: self.now.saturating_add(self.policy.attempt_timeout),
            retry,
            outdated: false,
        });
        let name = node.name.clone();
        self.in_flight += 1;
        self.retries_in_flight += usize::from(retry);
        self.counters.attempts += 1;
        self.reconcile(id);
        Some(name)
    }

    /// Ends the attempt under way, if there is one.
    fn end_attempt(&mut self, id: usize) -> Option<Attempt> {
        let attempt = self.nodes[id].attempt.take()?;
        self.in_flight -= 1;
        self.retries_in_flight -= usize::from(attempt.retry);
        Some(attempt)
    }

    fn connect_result(&mut self, name: &NodeName, result: Result<(), ConnectError>) {
        // The result of an attempt that is not under way was given up on or never asked for. If there is a
        // connection nonetheless, an `Up` says so.
        let Some(&id) = self.index.get(name) else {
            return;
        };
        let Some(attempt) = self.end_attempt(id) else {
            return;
        };
        match result {
            Ok(()) if !attempt.outdated => self.joined(id),
            Ok(()) => {}
            Err(error) => self.failed(id, error),
        }
        self.reconcile(id);
    }

    fn failed(&mut self, id: usize, error: ConnectError) {
        let node = &mut self.nodes[id];
        if node.connected.is_some() {
            // Both ends connect at once, and the other one was first.
            return;
        }
        node.failures = node.failures.saturating_add(1);
        let pause = self.policy.backoff.draw(node.failures, &mut self.dice);
        let again = self.policy.reconnect && !error.is_permanent();
        node.last_error = Some(Box::new(error.clone()));
        let event = Event::ConnectFailed {
            node: node.name.clone(),
            error,
            attempts: node.failures,
            retry_in: (node.wanted() && again).then_some(pause),
        };
        node.not_before = match again {
            true => self.now.saturating_add(pause),
            false => NEVER,
        };
        self.counters.failed += 1;
        self.say(event);
    }

    fn refresh(&mut self) {
        let waiting: Vec<usize> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.lacks_attempt() && node.turn.is_none())
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            self.nodes[id].not_before = self.now;
            self.reconcile(id);
        }
    }

    // Time.

    /// Sees to all whose moment has come.
    fn ring(&mut self) {
        while let Some(&(at, id)) = self.alarms.first() {
            if at > self.now {
                return;
            }
            self.alarms.pop_first();
            self.nodes[id].alarm = None;
            self.due(id);
        }
    }

    fn due(&mut self, id: usize) {
        let now = self.now;
        while let Some(lease) = self.nodes[id].leases.iter().find(|l| l.expires <= now) {
            let provider = lease.provider;
            self.counters.expired += u64::from(self.nodes[id].refused.is_none());
            self.withdraw(id, provider);
            if !self.nodes.contains(id) {
                return;
            }
        }
        let node = &mut self.nodes[id];
        if node
            .attempt
            .is_some_and(|attempt| attempt.given_up_at <= now)
        {
            self.end_attempt(id);
            self.counters.given_up += 1;
            let error = ConnectError {
                reason: "timeout".into(),
                message: format!(
                    "the attempt to connect did not come to its end within {:?}; if `net_setuptime` is \
                     longer than that, raise `attempt_timeout` above it",
                    self.policy.attempt_timeout
                ),
            };
            self.failed(id, error);
        }
        let node = &mut self.nodes[id];
        if node.cut_at.is_some_and(|at| at <= now) {
            node.cutting = true;
            let name = node.name.clone();
            self.outbox.push_back(Action::Disconnect(name));
        }
        self.reconcile(id);
    }

    // Keeping in order.

    fn insert(&mut self, name: NodeName) -> usize {
        let id = self.nodes.insert(Node::new(name.clone()));
        self.index.insert(name, id);
        id
    }

    fn say(&mut self, event: Event) {
        self.outbox.push_back(Action::Event(event));
    }

    /// Draws the conclusions from the facts about a node. To be called after each change of a fact; it may
    /// forget the node.
    fn reconcile(&mut self, id: usize) {
        let now = self.now;
        if self.nodes[id].guest && self.nodes[id].wanted() {
            self.joined(id);
        }
        let node = &mut self.nodes[id];

        if node.lacks_attempt() && node.not_before <= now {
            let retry = node.failures > 0;
            if let Some(turn) = node.turn.filter(|turn| turn.retry != retry) {
                self.turns.leave(turn);
                node.turn = None;
            }
            node.turn.get_or_insert_with(|| self.turns.join(id, retry));
        } else if let Some(turn) = node.turn.take() {
            self.turns.leave(turn);
        }

        if node.refused.is_some_and(Refusal::waits_for_room) {
            node.place.get_or_insert_with(|| {
                self.places += 1;
                self.without_place.insert(self.places, id);
                self.places
            });
        } else if let Some(place) = node.place.take() {
            self.without_place.remove(&place);
        }

        let named = !node.named_by.is_empty();
        if node.wanted() {
            node.claimed = true;
        } else if node.connected.is_none() && node.attempt.is_none() {
            node.claimed = false;
        }
        if named || node.connected.is_none() {
            node.cutting = false;
        }
        match self.policy.on_removed {
            OnRemoved::Disconnect { grace }
                if node.claimed && !node.cutting && !named && node.connected.is_some() =>
            {
                node.cut_at.get_or_insert(now.saturating_add(grace));
            }
            _ => node.cut_at = None,
        }

        if node.is_past() {
            let forget_at = node
                .forget_at
                .get_or_insert(now.saturating_add(self.policy.backoff.max()));
            if node.failures == 0 || *forget_at <= now {
                return self.forget(id);
            }
        } else {
            node.forget_at = None;
        }

        if node.counted != node.counts() {
            node.counted = !node.counted;
            if node.counted {
                self.counted += 1;
            } else {
                self.counted -= 1;
            }
        }

        // An alarm that is too early costs one idle ring; moving it at each announcement would cost more.
        if let Some(deadline) = node.deadline()
            && node.alarm.is_none_or(|alarm| deadline < alarm)
        {
            if let Some(alarm) = node.alarm {
                self.alarms.remove(&(alarm, id));
            }
            self.alarms.insert((deadline, id));
            node.alarm = Some(deadline);
        }
    }

    /// Forgets a node that has no turn, no place and no attempt.
    fn forget(&mut self, id: usize) {
        let node = self.nodes.remove(id);
        self.index.remove(&node.name);
        if let Some(alarm) = node.alarm {
            self.alarms.remove(&(alarm, id));
        }
        self.counted -= usize::from(node.counted);
    }

    // Views.

    /// The own node's name.
    #[must_use]
    pub fn own(&self) -> Option<&NodeName> {
        self.own.as_ref()
    }

    /// What the engine goes by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The nodes that are named or connected, in no particular order. Hidden nodes that no provider names are left
    /// out.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.is_shown())
            .map(|(_, node)| self.view(node))
    }

    /// What is known of one node, if it is named or connected.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<NodeView<'_>> {
        let node = &self.nodes[*self.index.get(name)?];
        node.is_shown().then(|| self.view(node))
    }

    fn view<'a>(&self, node: &'a Node) -> NodeView<'a> {
        let state = if let Some(since) = node.connected {
            NodeState::Connected { since }
        } else if let Some(attempt) = node.attempt {
            NodeState::Connecting {
                since: attempt.since,
            }
        } else if let Some(reason) = node.refused {
            NodeState::Refused(reason)
        } else if node.turn.is_none() && node.not_before == NEVER {
            NodeState::Idle
        } else if node.turn.is_none() {
            NodeState::Waiting {
                retry_at: node.not_before,
            }
        } else {
            NodeState::Known
        };
        NodeView {
            node: &node.name,
            named_by: node.named_by,
            first_named: node.first_named,
            refused: node.refused,
            state,
            failures: node.failures,
            last_error: node.last_error.as_deref(),
        }
    }

    /// The providers, in their configured order. One that said nothing yet may be missing at the end.
    pub fn providers(&self) -> impl Iterator<Item = ProviderView<'_>> {
        self.providers
            .iter()
            .enumerate()
            .filter_map(|(index, state)| {
                Some(ProviderView {
                    provider: ProviderId::new(index)?,
                    nodes: state.nodes,
                    names_self: state.names_self,
                    last_answer: state.last_answer,
                    error: state.error.as_deref(),
                    failures: state.failures,
                })
            })
    }

    /// How many attempts to connect are under way.
    #[must_use]
    pub fn connecting(&self) -> usize {
        self.in_flight
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
