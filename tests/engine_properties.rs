//! What the engine holds to whatever it is told, checked against a model that knows no time wheel, no
//! queues and no indices: only who was named, connected and dialled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use rendez::NodeName;
use rendez::cluster::{
    Accept, Action, Backoff, ConnectError, Engine, Event, Input, NodeState, OnRemoved, Policy,
    ProviderId, Refusal,
};

const NODES: usize = 8;
const PROVIDERS: usize = 3;
const OWN: usize = 0;

fn name(index: usize) -> NodeName {
    format!("n{index}@h").parse().unwrap()
}

fn provider(index: usize) -> ProviderId {
    ProviderId::new(index).unwrap()
}

fn error() -> ConnectError {
    ConnectError {
        reason: "refused".into(),
        message: "nobody listens".into(),
    }
}

#[derive(Debug, Clone)]
enum Op {
    Snapshot(usize, Vec<usize>),
    Failed(usize),
    Seen(usize, usize, Duration),
    Started(usize, usize, Duration),
    Gone(usize, usize),
    Up(usize),
    Down(usize),
    Result(usize, bool),
    Refresh,
    /// Time passes, and nobody wakes the engine.
    Sleep(Duration),
    /// As the engine asked for.
    Wake,
    /// The driver takes the actions. Several inputs may come before it does.
    Drain,
}

fn ms(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn op() -> impl Strategy<Value = Op> {
    let node = || 0..NODES;
    let source = || 0..PROVIDERS;
    let ttl =
        || prop_oneof![8 => ms(0..4_000), 1 => Just(Duration::MAX), 1 => Just(Duration::ZERO)];
    prop_oneof![
        3 => (source(), prop::collection::vec(node(), 0..NODES)).prop_map(|(p, n)| Op::Snapshot(p, n)),
        1 => source().prop_map(Op::Failed),
        4 => (source(), node(), ttl()).prop_map(|(p, n, t)| Op::Seen(p, n, t)),
        1 => (source(), node(), ttl()).prop_map(|(p, n, t)| Op::Started(p, n, t)),
        2 => (source(), node()).prop_map(|(p, n)| Op::Gone(p, n)),
        3 => node().prop_map(Op::Up),
        3 => node().prop_map(Op::Down),
        8 => (node(), any::<bool>()).prop_map(|(n, ok)| Op::Result(n, ok)),
        1 => Just(Op::Refresh),
        4 => ms(0..3_000).prop_map(Op::Sleep),
        4 => Just(Op::Wake),
        8 => Just(Op::Drain),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let on_removed = prop_oneof![
        Just(OnRemoved::Keep),
        ms(0..2_000).prop_map(|grace| OnRemoved::Disconnect { grace }),
    ];
    let accept = prop_oneof![
        3 => Just(Accept::everything()),
        1 => Just(Accept::new(["n?@*"]).unwrap()),
        1 => Just(Accept::new(["n1@h", "n3@h", "n5@h"]).unwrap()),
    ];
    let max_nodes = prop_oneof![2 => Just(None), 1 => (0..NODES).prop_map(Some)];
    (
        on_removed,
        accept,
        max_nodes,
        1..4_usize,
        ms(1..200),
        ms(0..2_000),
        prop::bool::weighted(0.8),
    )
        .prop_map(
            |(on_removed, accept, max_nodes, max_connecting, min, more, reconnect)| Policy {
                accept,
                max_connecting,
                backoff: Backoff::new(min, min + more).unwrap(),
                reconnect_jitter: Duration::from_millis(50),
                reconnect,
                stable_after: Duration::from_millis(700),
                attempt_timeout: Duration::from_secs(5),
                on_removed,
                max_nodes,
                max_new_nodes: None,
            },
        )
}

/// An engine and what a model thinks of it.
struct World {
    engine: Engine,
    policy: Policy,
    now: Duration,
    /// When the engine was last told anything.
    told_at: Duration,
    last_drain: Duration,
    /// Who names whom, and until when.
    named: BTreeMap<(NodeName, usize), Duration>,
    /// Since when no one names a node that was named before.
    unnamed_since: BTreeMap<NodeName, Duration>,
    connected: BTreeSet<NodeName>,
    /// Attempts without a result: when the engine gives up, and whether the node went down meanwhile.
    in_flight: BTreeMap<NodeName, (Duration, bool)>,
    /// Connected or being connected to, and wanted at some time since.
    was_wanted: BTreeSet<NodeName>,
    /// Told to be disconnected, and not down yet.
    disconnecting: BTreeSet<NodeName>,
    /// No attempt before.
    not_before: BTreeMap<NodeName, Duration>,
    /// Whose pauses something ended since the actions were last taken.
    pauses_ended: BTreeSet<NodeName>,
    /// What the events said.
    told_named: BTreeSet<(NodeName, usize)>,
    told_connected: BTreeSet<NodeName>,
    log: Vec<Action>,
}

impl World {
    fn new(policy: Policy, seed: u64) -> Self {
        Self {
            engine: Engine::new(Some(name(OWN)), policy.clone(), seed),
            policy,
            now: Duration::ZERO,
            told_at: Duration::ZERO,
            last_drain: Duration::ZERO,
            named: BTreeMap::new(),
            unnamed_since: BTreeMap::new(),
            connected: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            was_wanted: BTreeSet::new(),
            disconnecting: BTreeSet::new(),
            not_before: BTreeMap::new(),
            pauses_ended: BTreeSet::new(),
            told_named: BTreeSet::new(),
            told_connected: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    fn is_named(&self, node: &NodeName) -> bool {
        self.named.keys().any(|(named, _)| named == node)
    }

    fn is_wanted(&self, node: &NodeName) -> bool {
        // Whether there was room is the engine's to know; `compare` checks that it does not take in too many.
        self.is_named(node)
            && self.policy.accept.accepts(node)
            && self.engine.node(node).is_none_or(|view| view.is_wanted())
    }

    fn model_name(&mut self, node: &NodeName, by: usize, until: Duration) {
        if *node != name(OWN) {
            if !self.is_named(node) {
                self.end_pause(node);
                self.unnamed_since.remove(node);
            }
            self.named.insert((node.clone(), by), until);
        }
    }

    fn end_pause(&mut self, node: &NodeName) {
        self.not_before.remove(node);
        self.pauses_ended.insert(node.clone());
    }

    fn model_forget(&mut self, leaves: impl Fn(&NodeName, usize, Duration) -> bool) {
        let leaving: Vec<_> = self
            .named
            .iter()
            .filter(|((node, by), until)| leaves(node, *by, **until))
            .map(|(key, _)| key.clone())
            .collect();
        for key in leaving {
            self.named.remove(&key);
            if !self.is_named(&key.0) {
                self.unnamed_since.insert(key.0, self.now);
            }
        }
    }

    fn input(&self, op: &Op) -> Option<Input> {
        Some(match op {
            Op::Snapshot(by, nodes) => Input::Snapshot {
                provider: provider(*by),
                nodes: nodes.iter().map(|&n| name(n)).collect(),
            },
            Op::Failed(by) => Input::Failed {
                provider: provider(*by),
                error: "no answer".into(),
            },
            &Op::Seen(by, n, ttl) => Input::Seen {
                provider: provider(by),
                node: name(n),
                ttl,
            },
            &Op::Started(by, n, ttl) => Input::Started {
                provider: provider(by),
                node: name(n),
                ttl,
            },
            Op::Gone(by, n) => Input::Gone {
                provider: provider(*by),
                node: name(*n),
            },
            Op::Up(n) => Input::Up { node: name(*n) },
            Op::Down(n) => Input::Down {
                node: name(*n),
                reason: None,
            },
            Op::Result(n, ok) => Input::ConnectResult {
                node: name(*n),
                result: if *ok { Ok(()) } else { Err(error()) },
            },
            Op::Refresh => Input::Refresh,
            Op::Wake => Input::Wake,
            Op::Sleep(_) | Op::Drain => return None,
        })
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Sleep(time) => self.now += *time,
            Op::Wake => self.now = self.engine.next_wake().unwrap_or(self.now).max(self.now),
            Op::Snapshot(by, nodes) => {
                let names: BTreeSet<_> = nodes.iter().map(|&n| name(n)).collect();
                self.model_forget(|node, other, _| other == *by && !names.contains(node));
                for node in &names {
                    self.model_name(node, *by, Duration::MAX);
                }
            }
            Op::Seen(by, n, ttl) | Op::Started(by, n, ttl) => {
                self.model_name(&name(*n), *by, self.now.saturating_add(*ttl));
                if matches!(op, Op::Started(..)) {
                    self.end_pause(&name(*n));
                }
            }
            Op::Gone(by, n) => {
                let gone = name(*n);
                self.model_forget(|node, other, _| other == *by && *node == gone);
            }
            Op::Up(n) if *n != OWN => {
                self.connected.insert(name(*n));
            }
            Op::Down(n) => {
                self.connected.remove(&name(*n));
                self.disconnecting.remove(&name(*n));
                if let Some((_, outdated)) = self.in_flight.get_mut(&name(*n)) {
                    *outdated = true;
                }
            }
            Op::Result(n, ok) => {
                if let Some((_, false)) = self.in_flight.remove(&name(*n))
                    && *ok
                {
                    self.connected.insert(name(*n));
                }
            }
            Op::Refresh => (0..NODES).for_each(|n| self.end_pause(&name(n))),
            Op::Up(_) | Op::Failed(_) | Op::Drain => {}
        }
        if let Some(input) = self.input(op) {
            self.engine.handle(self.now, input);
            self.told_at = self.now;
            let now = self.now;
            self.model_forget(|_, _, until| until <= now);
            self.in_flight.retain(|_, (until, _)| *until > now);
        }
        for node in (0..NODES).map(name) {
            let bound = self.connected.contains(&node) || self.in_flight.contains_key(&node);
            if bound && self.is_wanted(&node) {
                self.was_wanted.insert(node);
            } else if !bound {
                self.was_wanted.remove(&node);
            }
        }
    }

    /// Takes the actions, and checks each.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        while let Some(action) = self.engine.poll_action() {
            self.log.push(action.clone());
            match action {
                Action::Connect(node) => self.check_connect(&node)?,
                Action::Disconnect(node) => {
                    let OnRemoved::Disconnect { grace } = self.policy.on_removed else {
                        return Err(TestCaseError::fail("disconnects, though it is to keep"));
                    };
                    prop_assert!(!self.is_named(&node), "disconnects {node}, which is wanted");
                    prop_assert!(self.connected.contains(&node));
                    let since = self.unnamed_since.get(&node).copied();
                    prop_assert!(since.is_some_and(|since| since + grace <= self.now));
                    self.disconnecting.insert(node);
                }
                Action::Event(event) => self.check_event(event)?,
            }
        }
        self.last_drain = self.now;
        self.pauses_ended.clear();
        Ok(())
    }

    fn check_connect(&mut self, node: &NodeName) -> Result<(), TestCaseError> {
        prop_assert_ne!(node, &name(OWN), "connects to itself");
        prop_assert!(
            self.is_wanted(node),
            "connects to {node}, which no one wants"
        );
        prop_assert!(!self.connected.contains(node), "{node} is connected");
        let given_up_at = self.told_at + self.policy.attempt_timeout;
        let twice = self.in_flight.insert(node.clone(), (given_up_at, false));
        prop_assert_eq!(twice, None, "a second attempt at {}", node);
        self.was_wanted.insert(node.clone());
        prop_assert!(
            self.in_flight.len() <= self.policy.max_connecting,
            "too many in flight: {:?}",
            self.in_flight
        );
        if let Some(at) = self.not_before.get(node) {
            prop_assert!(self.now >= *at, "{node} is tried before its pause is over");
        }
        Ok(())
    }

    fn check_event(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Discovered { node, provider } => {
                prop_assert!(self.told_named.insert((node, provider.index())));
            }
            Event::Withdrawn { node, provider } => {
                prop_assert!(self.told_named.remove(&(node, provider.index())));
            }
            Event::Joined { node, .. } => prop_assert!(self.told_connected.insert(node)),
            Event::Left { node, .. } => prop_assert!(self.told_connected.remove(&node)),
            Event::ConnectFailed {
                node,
                attempts,
                retry_in,
                ..
            } => {
                prop_assert!(attempts >= 1);
                if let Some(pause) = retry_in {
                    let backoff = self.policy.backoff;
                    prop_assert!(pause >= backoff.min() && pause <= backoff.max());
                    prop_assert!(pause <= backoff.ceiling(attempts));
                    // The failure came after the last drain, so its pause ends no earlier than this.
                    if !self.pauses_ended.contains(&node) {
                        self.not_before.insert(node, self.last_drain + pause);
                    }
                }
            }
            Event::Refused { reason, node, .. } => {
                let accepted = self.policy.accept.accepts(&node);
                prop_assert_eq!(reason == Refusal::NotAccepted, !accepted);
            }
            _ => {}
        }
        Ok(())
    }

    /// Compares the engine with the model. All actions have been taken.
    fn compare(&self) -> Result<(), TestCaseError> {
        let mut named = BTreeSet::new();
        let mut told = BTreeSet::new();
        let mut connected = BTreeSet::new();
        let mut connecting = BTreeSet::new();
        let mut places = 0;
        for view in self.engine.nodes() {
            for by in view.named_by.iter() {
                named.insert((view.node.clone(), by.index()));
                if view.is_wanted() {
                    told.insert((view.node.clone(), by.index()));
                }
            }
            match view.state {
                NodeState::Connected { .. } => {
                    connected.insert(view.node.clone());
                }
                NodeState::Connecting { .. } => {
                    connecting.insert(view.node.clone());
                }
                _ => {}
            }
            places += usize::from(view.is_wanted());
        }
        let model: BTreeSet<_> = self.named.keys().cloned().collect();
        prop_assert_eq!(&named, &model, "who names whom");
        prop_assert_eq!(&told, &self.told_named, "what the events said of names");
        prop_assert_eq!(&connected, &self.connected, "who is connected");
        prop_assert_eq!(
            &connected,
            &self.told_connected,
            "what the events said of connections"
        );
        let in_flight: BTreeSet<_> = self.in_flight.keys().cloned().collect();
        prop_assert!(connecting.is_subset(&in_flight));
        prop_assert!(
            in_flight
                .difference(&connecting)
                .all(|n| connected.contains(n))
        );
        if let Some(max) = self.policy.max_nodes {
            prop_assert!(places <= max, "{places} nodes taken in");
        }
        for (node, _) in &model {
            let refusal = self.engine.node(node).and_then(|view| view.refused);
            let accepted = self.policy.accept.accepts(node);
            prop_assert_eq!(refusal == Some(Refusal::NotAccepted), !accepted, "{}", node);
        }
        if let Some(wake) = self.engine.next_wake() {
            prop_assert!(wake > self.told_at, "wakes without end");
        }
        Ok(())
    }

    fn run(&mut self, ops: &[Op]) -> Result<(), TestCaseError> {
        for op in ops {
            self.apply(op);
            if matches!(op, Op::Drain) {
                self.drain()?;
                self.compare()?;
            }
            self.engine
                .check_consistency()
                .map_err(|what| TestCaseError::fail(format!("after {op:?}: {what}")))?;
        }
        self.drain()?;
        self.compare()
    }

    /// Nothing more is learnt, and all that is asked for succeeds.
    fn quiet(&mut self) -> Result<(), TestCaseError> {
        let end = self.now + Duration::from_secs(60);
        let index = |node: &NodeName| (0..NODES).find(|&n| name(n) == *node).unwrap();
        loop {
            self.drain()?;
            let ended = self.disconnecting.iter();
            let mut answers: Vec<_> = ended.map(|node| Op::Down(index(node))).collect();
            answers.extend(
                self.in_flight
                    .keys()
                    .map(|node| Op::Result(index(node), true)),
            );
            if answers.is_empty() {
                if self.engine.next_wake().is_none_or(|wake| wake > end) {
                    return self.compare();
                }
                answers.push(Op::Wake);
            }
            for answer in answers {
                self.apply(&answer);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Never to itself, never twice, never more than `max_connecting`, never before the pause is over,
    /// nothing disconnected that is wanted, no event that is not so, and no contradiction inside.
    #[test]
    fn any_inputs_leave_it_consistent(
        policy in policy(),
        seed: u64,
        ops in prop::collection::vec(op(), 0..80),
    ) {
        World::new(policy, seed).run(&ops)?;
    }

    #[test]
    fn once_quiet_what_is_connected_is_what_is_wanted(
        policy in policy(),
        seed: u64,
        ops in prop::collection::vec(op(), 0..60),
    ) {
        let mut world = World::new(policy.clone(), seed);
        world.run(&ops)?;
        world.quiet()?;
        if !policy.reconnect {
            world.apply(&Op::Refresh);
            world.quiet()?;
        }
        for view in world.engine.nodes() {
            let connected = matches!(view.state, NodeState::Connected { .. });
            if world.is_wanted(view.node) {
                prop_assert!(connected, "{} is wanted and {:?}", view.node, view.state);
            } else if policy.on_removed != OnRemoved::Keep && !world.is_named(view.node) {
                // A connection to a node that was never wanted is others' to end.
                let was_wanted = world.was_wanted.contains(view.node);
                prop_assert!(!(connected && was_wanted), "{} is not wanted, and connected", view.node);
            }
        }
    }

    /// The set of nodes that anyone names is the same before and after a failed lookup, whoever fails.
    #[test]
    fn a_failed_lookup_removes_nothing(
        seed: u64,
        ops in prop::collection::vec(op(), 0..60),
        failing in 0..PROVIDERS,
    ) {
        let mut world = World::new(Policy::default(), seed);
        world.run(&ops)?;
        world.apply(&Op::Wake);
        world.drain()?;
        let wanted = |world: &World| {
            let views = world.engine.nodes().map(|v| (v.node.clone(), v.named_by.iter().count(), v.state));
            let mut views: Vec<_> = views.collect();
            views.sort_by(|a, b| a.0.cmp(&b.0));
            views
        };
        let before = wanted(&world);
        let told = world.log.len();
        world.apply(&Op::Failed(failing));
        world.drain()?;
        prop_assert_eq!(wanted(&world), before);
        let said = &world.log[told..];
        let only_that = said.iter().all(|a| matches!(a, Action::Event(Event::ProviderFailed { .. })));
        prop_assert!(only_that, "{:?}", said);
    }

    #[test]
    fn the_same_seed_and_inputs_give_the_same_actions(
        policy in policy(),
        seed: u64,
        ops in prop::collection::vec(op(), 0..60),
    ) {
        let mut first = World::new(policy.clone(), seed);
        let mut second = World::new(policy, seed);
        first.run(&ops)?;
        second.run(&ops)?;
        prop_assert_eq!(first.log, second.log);
    }

    /// Whatever a source that is asked leaves out, and whenever: a name goes only after three answers in a row
    /// without it, and after the time for which it is kept.
    #[test]
    fn a_name_goes_only_after_several_answers_and_a_time(
        seed: u64,
        answers in prop::collection::vec((prop::collection::vec(1..NODES, 0..NODES), ms(0..9_000), any::<bool>()), 1..80),
    ) {
        let keep_for = Duration::from_secs(10);
        let mut engine = Engine::new(Some(name(OWN)), Policy::default(), seed);
        engine.set_keep_for(provider(0), keep_for);
        let mut now = Duration::ZERO;
        let mut absent: BTreeMap<NodeName, (Duration, usize)> = BTreeMap::new();
        for (nodes, pause, failed) in answers {
            now += pause;
            let nodes: Vec<_> = nodes.into_iter().map(name).collect();
            let input = if failed {
                Input::Failed { provider: provider(0), error: "no answer".into() }
            } else {
                for node in (1..NODES).map(name) {
                    if nodes.contains(&node) {
                        absent.remove(&node);
                    } else {
                        absent.entry(node).or_insert((now, 0)).1 += 1;
                    }
                }
                Input::Snapshot { provider: provider(0), nodes }
            };
            engine.handle(now, input);
            engine.check_consistency().map_err(TestCaseError::fail)?;
            while let Some(action) = engine.poll_action() {
                if let Action::Event(Event::Withdrawn { node, .. }) = action {
                    let (since, answers) = absent[&node];
                    prop_assert!(!failed && answers >= 3 && now - since >= keep_for, "{} left", node);
                }
            }
        }
    }
}
