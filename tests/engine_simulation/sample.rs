//! A few engines out of a cluster of ten thousand: the others are there by their announcements alone, which
//! follow the bound of 20 a second for the whole group. Ten thousand engines that know ten thousand nodes
//! each would take some 60 GB.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rendez::NodeName;
use rendez::cluster::{Action, ConnectError, Engine, Event, Input, NodeState, Policy, ProviderId};

const NODES: usize = 10_000;
const ENGINES: usize = 10;
const LOSS: f64 = 0.3;
const SECOND: Duration = Duration::from_secs(1);
/// Twenty announcements a second for the whole group.
const INTERVAL: Duration = Duration::from_millis(NODES as u64 * 1_000 / 20);
/// Long enough that a node which lives is not lost with a dozen announcements lost in a row.
const TTL: Duration = Duration::from_secs(INTERVAL.as_secs() * 12);

struct Sample {
    now: Duration,
    rng: SmallRng,
    names: Vec<NodeName>,
    alive: Vec<bool>,
    engines: Vec<Engine>,
    joined: usize,
    attempts: usize,
}

impl Sample {
    fn new() -> Self {
        let name = |i: usize| format!("n{i}@h").parse().unwrap();
        Self {
            now: Duration::ZERO,
            rng: SmallRng::seed_from_u64(crate::seed::seed(9)),
            names: (0..NODES).map(name).collect(),
            alive: vec![true; NODES],
            engines: (0..ENGINES)
                .map(|i| Engine::new(Some(name(i)), Policy::default(), i as u64))
                .collect(),
            joined: 0,
            attempts: 0,
        }
    }

    /// All engines that a datagram of the node reaches are told.
    fn announce(&mut self, node: usize, started: bool) {
        for engine in 0..ENGINES {
            if !self.rng.random_bool(LOSS) {
                let provider = ProviderId::new(0).unwrap();
                let (node, ttl) = (self.names[node].clone(), TTL);
                let input = if started {
                    Input::Started {
                        provider,
                        node,
                        ttl,
                    }
                } else {
                    Input::Seen {
                        provider,
                        node,
                        ttl,
                    }
                };
                self.tell(engine, input);
            }
        }
    }

    /// Tells an engine, and ends each of its attempts at once.
    fn tell(&mut self, engine: usize, input: Input) {
        let (now, engine) = (self.now, &mut self.engines[engine]);
        engine.handle(now, input);
        while let Some(action) = engine.poll_action() {
            match action {
                Action::Connect(node) => {
                    self.attempts += 1;
                    let index: usize = node.name()[1..].parse().unwrap();
                    let dead = || ConnectError {
                        reason: "refused".into(),
                        message: "it is down".into(),
                    };
                    let result = self.alive[index].then_some(()).ok_or_else(dead);
                    engine.handle(now, Input::ConnectResult { node, result });
                }
                Action::Event(Event::Joined { .. }) => self.joined += 1,
                Action::Event(Event::Left { .. }) => self.joined -= 1,
                Action::Event(_) | Action::Disconnect(_) => {}
            }
        }
    }

    /// Lets a round of announcements pass, in the order of the nodes' numbers.
    fn round(&mut self) {
        for node in 0..NODES {
            self.now += INTERVAL / u32::try_from(NODES).unwrap();
            for engine in 0..ENGINES {
                if self.engines[engine]
                    .next_wake()
                    .is_some_and(|at| at <= self.now)
                {
                    self.tell(engine, Input::Wake);
                }
            }
            if self.alive[node] {
                self.announce(node, false);
            }
        }
    }

    fn stop(&mut self, node: usize) {
        self.alive[node] = false;
        for engine in 0..ENGINES {
            let node = self.names[node].clone();
            self.tell(engine, Input::Down { node, reason: None });
        }
    }

    fn start(&mut self, node: usize) {
        self.alive[node] = true;
        for _ in 0..3 {
            self.announce(node, true);
        }
    }

    fn check(&self) {
        for (own, engine) in self.engines.iter().enumerate() {
            engine.check_consistency().unwrap();
            let connected = engine
                .nodes()
                .filter(|view| matches!(view.state, NodeState::Connected { .. }))
                .count();
            let others = self.alive.iter().enumerate();
            assert_eq!(
                connected,
                others.filter(|&(i, alive)| *alive && i != own).count()
            );
        }
    }
}

#[test]
fn engines_of_a_cluster_of_ten_thousand_know_and_join_all_and_lose_the_dead() {
    let mut sample = Sample::new();
    let all = ENGINES * (NODES - 1);
    for node in 0..NODES {
        sample.now += SECOND / 1_000;
        sample.start(node);
    }
    let at_once = sample.joined;
    assert!(
        at_once > all * 95 / 100,
        "{at_once} of {all} from the first announcements"
    );
    let mut rounds = 0;
    while sample.joined < all {
        sample.round();
        rounds += 1;
        assert!(
            rounds < 12,
            "{} of {all} after {rounds} rounds",
            sample.joined
        );
    }
    assert_eq!(sample.attempts, all, "one attempt a node");
    sample.check();
    println!(
        "10,000 nodes, 30% loss: {at_once} of {all} joined at once, all after {rounds} rounds"
    );

    // One in a hundred restarts without a goodbye, one in a hundred is gone for good.
    for node in (ENGINES..NODES).step_by(100) {
        sample.stop(node);
        sample.stop(node + 50);
        sample.now += SECOND;
        sample.start(node);
    }
    for _ in 0..14 {
        sample.round();
    }
    sample.check();
    let dead = sample.alive.iter().filter(|alive| !**alive).count();
    for (own, engine) in sample.engines.iter().enumerate() {
        assert_eq!(
            engine.nodes().count(),
            NODES - 1 - dead,
            "engine {own} forgets the dead"
        );
    }
}
