//! What the engine does in the cases that matter, one at a time.

use std::time::Duration;

use rendez::NodeName;
use rendez::cluster::{
    Accept, Action, Backoff, ConnectError, Engine, Event, Input, NodeState, OnRemoved, Policy,
    ProviderId, Refusal,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> NodeName {
    format!("{text}@h").parse().unwrap()
}

fn provider(index: usize) -> ProviderId {
    ProviderId::new(index).unwrap()
}

/// An engine of the node `own@h` with a clock, and short ways to tell it things.
struct Desk {
    engine: Engine,
    now: Duration,
    events: Vec<Event>,
    disconnects: Vec<NodeName>,
}

impl Desk {
    fn new(policy: Policy) -> Self {
        Self {
            engine: Engine::new(Some(name("own")), policy, 11),
            now: Duration::ZERO,
            events: Vec::new(),
            disconnects: Vec::new(),
        }
    }

    /// Tells the engine, and returns to whom it connects.
    fn tell(&mut self, input: Input) -> Vec<String> {
        self.engine.handle(self.now, input);
        self.engine.check_consistency().unwrap();
        let mut connects = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Connect(node) => connects.push(node.name().to_owned()),
                Action::Disconnect(node) => self.disconnects.push(node),
                Action::Event(event) => self.events.push(event),
            }
        }
        self.engine.check_consistency().unwrap();
        connects
    }

    fn snapshot(&mut self, by: usize, nodes: &[&str]) -> Vec<String> {
        self.tell(Input::Snapshot {
            provider: provider(by),
            nodes: nodes.iter().map(|node| name(node)).collect(),
        })
    }

    fn failed_lookup(&mut self, by: usize, error: &str) -> Vec<String> {
        self.tell(Input::Failed {
            provider: provider(by),
            error: error.into(),
        })
    }

    fn seen(&mut self, by: usize, node: &str, ttl: Duration) -> Vec<String> {
        self.tell(Input::Seen {
            provider: provider(by),
            node: name(node),
            ttl,
        })
    }

    fn started(&mut self, by: usize, node: &str, ttl: Duration) -> Vec<String> {
        self.tell(Input::Started {
            provider: provider(by),
            node: name(node),
            ttl,
        })
    }

    fn gone(&mut self, by: usize, node: &str) -> Vec<String> {
        self.tell(Input::Gone {
            provider: provider(by),
            node: name(node),
        })
    }

    fn up(&mut self, node: &str) -> Vec<String> {
        self.tell(Input::Up { node: name(node) })
    }

    fn up_hidden(&mut self, node: &str) -> Vec<String> {
        self.tell(Input::UpHidden { node: name(node) })
    }

    fn down(&mut self, node: &str) -> Vec<String> {
        self.tell(Input::Down {
            node: name(node),
            reason: None,
        })
    }

    fn result(&mut self, node: &str, ok: bool) -> Vec<String> {
        let error = || ConnectError {
            reason: "refused".into(),
            message: "nobody listens".into(),
        };
        self.tell(Input::ConnectResult {
            node: name(node),
            result: ok.then_some(()).ok_or_else(error),
        })
    }

    /// Lets time pass, waking the engine when it wants to be; returns to whom it connects, and when.
    fn pass(&mut self, time: Duration) -> Vec<(Duration, String)> {
        let end = self.now + time;
        let mut connects = Vec::new();
        while let Some(wake) = self.engine.next_wake().filter(|&wake| wake <= end) {
            assert!(wake > self.now, "wakes without end");
            self.now = wake;
            let now = self.tell(Input::Wake);
            connects.extend(now.into_iter().map(|node| (wake, node)));
        }
        self.now = end;
        connects
    }

    /// As [`Self::pass`], with every attempt failing at once; returns how many there were.
    fn pass_in_vain(&mut self, time: Duration) -> usize {
        let end = self.now + time;
        let mut attempts = 0;
        while let Some(wake) = self.engine.next_wake().filter(|&wake| wake <= end) {
            self.now = wake;
            let connects = self.tell(Input::Wake);
            attempts += self.fail(connects);
        }
        self.now = end;
        attempts
    }

    /// Fails these attempts and those that they make room for.
    fn fail(&mut self, mut connects: Vec<String>) -> usize {
        let mut attempts = 0;
        while let Some(node) = connects.pop() {
            attempts += 1;
            connects.extend(self.result(&node, false));
        }
        attempts
    }

    fn state(&self, node: &str) -> Option<NodeState> {
        self.engine.node(&name(node)).map(|view| view.state)
    }

    fn is_connected(&self, node: &str) -> bool {
        matches!(self.state(node), Some(NodeState::Connected { .. }))
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

fn no_jitter() -> Policy {
    Policy {
        reconnect_jitter: Duration::ZERO,
        ..Policy::default()
    }
}

#[test]
fn connects_to_all_but_itself_and_says_how_long_it_took() {
    let mut desk = Desk::new(Policy::default());
    let mut connects = desk.snapshot(0, &["own", "a", "b"]);
    connects.sort();
    assert_eq!(connects, ["a", "b"]);
    assert_eq!(desk.events().len(), 2);
    desk.now = 30 * MS;
    desk.result("a", true);
    let after = Some(30 * MS);
    let joined = |node| Event::Joined {
        node: name(node),
        after,
    };
    assert_eq!(desk.events(), [joined("a")]);
    desk.up("a");
    desk.up("b");
    desk.result("b", true);
    assert_eq!(desk.events(), [joined("b")]);
    assert!(desk.is_connected("a") && desk.is_connected("b"));
    desk.up("own");
    assert_eq!(desk.engine.nodes().count(), 2);
}

#[test]
fn a_node_is_wanted_while_any_provider_names_it() {
    let mut desk = Desk::new(Policy::default());
    desk.snapshot(0, &["a"]);
    desk.seen(1, "a", SECOND);
    desk.snapshot(0, &[]);
    let view = desk.engine.node(&name("a")).unwrap();
    assert_eq!(view.named_by.iter().collect::<Vec<_>>(), [provider(1)]);
    desk.pass(2 * SECOND);
    assert!(
        desk.engine.node(&name("a")).is_some(),
        "the attempt is under way"
    );
    desk.result("a", false);
    assert!(desk.engine.node(&name("a")).is_none());
    let withdrawn: Vec<_> = desk
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Withdrawn { provider, .. } => Some(provider.index()),
            _ => None,
        })
        .collect();
    assert_eq!(withdrawn, [0, 1]);
}

#[test]
fn a_failed_lookup_removes_nothing_and_is_said_once() {
    let mut desk = Desk::new(Policy::default());
    desk.snapshot(0, &["a"]);
    desk.result("a", true);
    desk.events();
    desk.now = SECOND;
    for error in ["servfail", "servfail", "timeout"] {
        assert!(desk.failed_lookup(0, error).is_empty());
    }
    let view = desk.engine.providers().next().unwrap();
    assert_eq!(
        (view.nodes, view.failures, view.error),
        (1, 3, Some("timeout"))
    );
    assert_eq!(view.last_answer, Some(Duration::ZERO));
    desk.snapshot(0, &["a"]);
    let provider = provider(0);
    let failed = |error: &str| Event::ProviderFailed {
        provider,
        error: error.into(),
    };
    assert_eq!(
        desk.events(),
        [
            failed("servfail"),
            failed("timeout"),
            Event::ProviderRecovered { provider }
        ]
    );
    assert!(desk.is_connected("a"));
}

#[test]
fn a_provider_that_fails_and_recovers_in_turns_says_each_turn() {
    let mut desk = Desk::new(Policy::default());
    let provider = provider(0);
    for _ in 0..20 {
        for _ in 0..3 {
            desk.failed_lookup(0, "forbidden");
            desk.pass(3 * SECOND);
        }
        desk.snapshot(0, &[]);
        let failed = Event::ProviderFailed {
            provider,
            error: "forbidden".into(),
        };
        assert_eq!(
            desk.events(),
            [failed, Event::ProviderRecovered { provider }]
        );
        desk.pass(10 * SECOND);
    }
}

#[test]
fn announcements_hold_for_their_time_and_are_renewed() {
    let mut desk = Desk::new(Policy::default());
    desk.seen(0, "a", 10 * SECOND);
    desk.pass(6 * SECOND);
    desk.seen(0, "a", 10 * SECOND);
    desk.pass(9 * SECOND);
    assert_eq!(desk.engine.counters().expired, 0);
    desk.pass(2 * SECOND);
    assert_eq!(desk.engine.counters().expired, 1);
}

#[test]
fn an_announcement_that_waited_in_a_queue_still_renews() {
    let mut desk = Desk::new(Policy::default());
    desk.seen(0, "a", SECOND);
    desk.now = 60 * SECOND;
    desk.seen(0, "a", SECOND);
    assert_eq!(desk.engine.counters().withdrawn, 0);
}

#[test]
fn failures_are_told_with_the_time_of_the_next_attempt() {
    let mut desk = Desk::new(Policy::default());
    desk.snapshot(0, &["a"]);
    for attempts in 1..=12 {
        desk.events();
        let at = desk.now;
        desk.result("a", false);
        let [
            Event::ConnectFailed {
                attempts: said,
                retry_in: Some(pause),
                ..
            },
        ] = desk.events()[..]
        else {
            panic!("a failure, and nothing else, is told");
        };
        assert_eq!(said, attempts);
        let backoff = Policy::default().backoff;
        assert!((backoff.min()..=backoff.ceiling(attempts)).contains(&pause));
        assert_eq!(
            desk.state("a"),
            Some(NodeState::Waiting {
                retry_at: at + pause
            })
        );
        assert_eq!(desk.pass(pause), [(at + pause, "a".to_owned())]);
    }
    let view = desk.engine.node(&name("a")).unwrap();
    assert_eq!(view.last_error.unwrap().reason, "refused");
    assert_eq!(view.failures, 12);
}

#[test]
fn a_node_that_is_back_before_its_loss_was_acted_on_is_joined_at_once() {
    let mut desk = Desk::new(Policy::default());
    desk.started(0, "a", 3_600 * SECOND);
    desk.result("a", true);
    desk.pass(60 * SECOND);
    assert!(
        desk.down("a").is_empty(),
        "peers do not all try at one moment"
    );
    assert_eq!(desk.started(0, "a", 3_600 * SECOND), ["a"]);
}

#[test]
fn a_node_that_restarted_without_a_goodbye_is_joined_at_once() {
    let mut desk = Desk::new(Policy::default());
    desk.started(0, "a", 3_600 * SECOND);
    desk.result("a", true);
    desk.pass(60 * SECOND);
    desk.down("a");
    desk.pass_in_vain(60 * SECOND);
    assert!(matches!(desk.state("a"), Some(NodeState::Waiting { .. })));
    assert!(desk.seen(0, "a", 3_600 * SECOND).is_empty());
    assert_eq!(desk.started(0, "a", 3_600 * SECOND), ["a"]);
}

/// A minute of announcements, five a second, of a node that cannot be reached.
fn attempts_in_a_minute(mut announce: impl FnMut(&mut Desk, usize) -> Vec<String>) -> usize {
    let mut desk = Desk::new(Policy::default());
    let mut attempts = 0;
    for i in 0..300 {
        let connects = announce(&mut desk, i);
        attempts += desk.fail(connects);
        attempts += desk.pass_in_vain(200 * MS);
    }
    attempts
}

#[test]
fn no_announcement_defeats_the_backoff() {
    let ttl = 10 * SECOND;
    let seen = attempts_in_a_minute(|desk, _| desk.seen(0, "a", ttl));
    // From 100 ms doubling to 30 s takes nine failures or so.
    assert!(
        (6..20).contains(&seen),
        "{seen} attempts for plain announcements"
    );
    let restarts = attempts_in_a_minute(|desk, _| desk.started(0, "a", ttl));
    assert!(
        (6..45).contains(&restarts),
        "{restarts} for a node that restarts all the time"
    );
    let comes_and_goes = attempts_in_a_minute(|desk, i| match i % 2 {
        0 => desk.seen(0, "a", ttl),
        _ => desk.gone(0, "a"),
    });
    assert!(
        (6..45).contains(&comes_and_goes),
        "{comes_and_goes} for one that comes and goes"
    );
    let flaps = attempts_in_a_minute(|desk, i| match i % 2 {
        0 => desk.snapshot(0, &["a"]),
        _ => desk.snapshot(0, &["b"]),
    });
    assert!(
        (12..90).contains(&flaps),
        "{flaps} for two that take turns in a DNS answer"
    );
}

#[test]
fn a_lost_connection_is_made_again_promptly() {
    let mut desk = Desk::new(Policy::default());
    desk.snapshot(0, &["a"]);
    desk.up("a");
    desk.result("a", true);
    desk.pass(60 * SECOND);
    desk.events();
    desk.down("a");
    assert_eq!(
        desk.events(),
        [Event::Left {
            node: name("a"),
            reason: None
        }]
    );
    let lost = desk.now;
    let connects = desk.pass(SECOND);
    assert_eq!(connects.len(), 1);
    let (after, jitter) = (connects[0].0 - lost, Policy::default().reconnect_jitter);
    // Not at once: a node that slept has to see first that all of its connections are lost.
    assert!((jitter / 2..=jitter).contains(&after), "{after:?}");
}

#[test]
fn a_peer_that_hangs_up_right_away_is_not_dialled_without_end() {
    let mut desk = Desk::new(no_jitter());
    let mut attempts = desk.snapshot(0, &["a"]).len();
    let end = 60 * SECOND;
    while desk.now < end {
        desk.up("a");
        desk.result("a", true);
        desk.down("a");
        let wake = desk.engine.next_wake().unwrap();
        attempts += desk.pass(wake - desk.now).len();
    }
    assert!(attempts < 20, "{attempts} attempts in a minute");
}

#[test]
fn a_result_that_is_lost_does_not_hold_its_place_for_ever() {
    let mut desk = Desk::new(Policy {
        max_connecting: 1,
        ..Policy::default()
    });
    let first = desk.snapshot(0, &["a", "b"]);
    assert_eq!(first.len(), 1);
    let connects = desk.pass(Policy::default().attempt_timeout);
    assert_eq!(connects.len(), 1);
    assert_ne!(connects[0].1, first[0]);
    assert_eq!(desk.engine.counters().given_up, 1);
    let lost = desk.engine.node(&name(&first[0])).unwrap();
    assert_eq!(lost.last_error.unwrap().reason, "timeout");
    // The result of an attempt that was given up says nothing; if there is a connection, an `Up` does.
    desk.result(&first[0], true);
    assert!(!desk.is_connected(&first[0]));
}

#[test]
fn what_is_withdrawn_while_it_is_connected_to() {
    for ok in [true, false] {
        let mut desk = Desk::new(Policy {
            on_removed: OnRemoved::Disconnect { grace: SECOND },
            ..Policy::default()
        });
        desk.snapshot(0, &["a"]);
        desk.snapshot(0, &[]);
        assert_eq!(desk.engine.connecting(), 1, "the attempt holds its place");
        desk.events();
        desk.result("a", ok);
        desk.pass(2 * SECOND);
        if ok {
            assert_eq!(desk.disconnects, [name("a")]);
        } else {
            let events = desk.events();
            assert!(matches!(
                events[..],
                [Event::ConnectFailed { retry_in: None, .. }]
            ));
            assert!(desk.disconnects.is_empty());
            assert_eq!(desk.engine.nodes().count(), 0);
        }
        assert_eq!(desk.engine.connecting(), 0);
    }
}

#[test]
fn what_is_withdrawn_before_its_turn_is_never_dialled() {
    let mut engine = Engine::new(None, Policy::default(), 0);
    let (provider, node) = (provider(0), name("a"));
    engine.handle(
        Duration::ZERO,
        Input::Seen {
            provider,
            node: node.clone(),
            ttl: SECOND,
        },
    );
    engine.handle(Duration::ZERO, Input::Gone { provider, node });
    let actions: Vec<_> = std::iter::from_fn(|| engine.poll_action()).collect();
    assert!(
        actions
            .iter()
            .all(|action| matches!(action, Action::Event(_))),
        "{actions:?}"
    );
}

#[test]
fn removed_nodes_are_kept_or_disconnected_after_a_grace() {
    for (on_removed, expected) in [
        (OnRemoved::Keep, 0),
        (OnRemoved::Disconnect { grace: 5 * SECOND }, 1),
    ] {
        let mut desk = Desk::new(Policy {
            on_removed,
            ..Policy::default()
        });
        desk.snapshot(0, &["a", "b"]);
        desk.up("a");
        desk.up("b");
        desk.up("foreign");
        desk.snapshot(0, &["b"]);
        desk.pass(4 * SECOND);
        assert!(desk.disconnects.is_empty(), "within the grace");
        desk.pass(2 * SECOND);
        assert_eq!(desk.disconnects.len(), expected);
        desk.pass(600 * SECOND);
        assert_eq!(desk.disconnects.len(), expected, "once is enough");
        assert!(desk.is_connected("b") && desk.is_connected("foreign"));
        desk.down("a");
        assert!(desk.state("a").is_none());
    }
}

#[test]
fn a_node_that_is_wanted_again_is_not_disconnected() {
    let mut desk = Desk::new(Policy {
        on_removed: OnRemoved::Disconnect { grace: 5 * SECOND },
        ..Policy::default()
    });
    desk.snapshot(0, &["a"]);
    desk.up("a");
    desk.snapshot(0, &[]);
    desk.pass(4 * SECOND);
    desk.seen(1, "a", 8 * SECOND);
    desk.pass(4 * SECOND);
    assert!(desk.disconnects.is_empty());
    // The announcement runs out at 12 s; the grace begins anew.
    desk.pass(8 * SECOND);
    assert!(desk.disconnects.is_empty());
    desk.pass(2 * SECOND);
    assert_eq!(desk.disconnects, [name("a")]);

    // Also when it comes between the decision and its being carried out.
    desk.snapshot(0, &["b"]);
    desk.up("b");
    desk.snapshot(0, &[]);
    let later = desk.now + 6 * SECOND;
    desk.engine.handle(later, Input::Wake);
    desk.now = later;
    desk.snapshot(0, &["b"]);
    assert_eq!(desk.disconnects, [name("a")]);
}

#[test]
fn both_ends_connecting_at_once_is_no_failure() {
    let mut desk = Desk::new(Policy::default());
    desk.snapshot(0, &["a"]);
    desk.up("a");
    assert!(desk.snapshot(0, &["a"]).is_empty());
    desk.result("a", false);
    assert!(desk.is_connected("a"));
    assert_eq!(desk.engine.counters().failed, 0);
    assert!(desk.pass(60 * SECOND).is_empty());
}

#[test]
fn an_ok_about_a_connection_that_is_gone_again_is_not_believed() {
    let mut desk = Desk::new(no_jitter());
    desk.snapshot(0, &["a"]);
    desk.up("a");
    desk.down("a");
    assert!(
        desk.pass(10 * SECOND).is_empty(),
        "the attempt is still under way"
    );
    assert_eq!(desk.result("a", true), ["a"]);
}

#[test]
fn the_fuse_holds_and_who_waits_gets_the_place_that_becomes_free() {
    let mut desk = Desk::new(Policy {
        max_nodes: Some(2),
        ..Policy::default()
    });
    desk.snapshot(0, &["a", "b"]);
    desk.result("a", true);
    desk.result("b", true);
    desk.events();
    for _ in 0..3 {
        assert!(desk.seen(1, "c", 60 * SECOND).is_empty());
        assert!(desk.seen(2, "c", 60 * SECOND).is_empty());
    }
    let refused = Event::Refused {
        node: name("c"),
        provider: provider(1),
        reason: Refusal::ClusterFull,
    };
    assert_eq!(desk.events(), [refused], "once");
    assert_eq!(
        desk.state("c"),
        Some(NodeState::Refused(Refusal::ClusterFull))
    );
    desk.snapshot(0, &["a"]);
    assert_eq!(desk.down("b"), ["c"]);
    let discovered = desk
        .events()
        .into_iter()
        .filter(|e| matches!(e, Event::Discovered { .. }));
    assert_eq!(discovered.count(), 2, "by both who name it");
}

#[test]
fn an_answer_that_exchanges_nodes_of_a_full_cluster_refuses_none() {
    let mut desk = Desk::new(Policy {
        max_nodes: Some(2),
        max_connecting: 0,
        ..Policy::default()
    });
    desk.snapshot(0, &["a", "b"]);
    desk.snapshot(0, &["b", "c"]);
    assert_eq!(desk.engine.counters().refused, 0);
    assert_eq!(desk.state("c"), Some(NodeState::Known));
}

#[test]
fn failures_that_are_remembered_keep_a_place_until_they_are_forgotten() {
    let mut desk = Desk::new(Policy {
        max_nodes: Some(1),
        ..Policy::default()
    });
    let connects = desk.snapshot(0, &["a"]);
    desk.fail(connects);
    desk.snapshot(0, &["b"]);
    assert_eq!(
        desk.state("b"),
        Some(NodeState::Refused(Refusal::ClusterFull))
    );
    let connects = desk.pass(Policy::default().backoff.max());
    assert_eq!(connects.len(), 1, "{connects:?}");
}

#[test]
fn a_flood_of_names_costs_bounded_memory_and_few_events() {
    let mut desk = Desk::new(Policy {
        max_nodes: Some(50),
        ..Policy::default()
    });
    for i in 0..20_000 {
        let node = name(&format!("flood{i}"));
        let input = Input::Seen {
            provider: provider(0),
            node,
            ttl: 3_600 * SECOND,
        };
        desk.engine.handle(desk.now, input);
        while let Some(action) = desk.engine.poll_action() {
            if let Action::Event(event) = action {
                desk.events.push(event);
            }
        }
    }
    assert_eq!(desk.engine.counters().discovered, 50);
    assert_eq!(desk.engine.counters().refused, 20_000 - 50);
    assert!(desk.engine.nodes().count() <= 50 + 1_024);
    assert!(desk.events().len() <= 50 + 1_024);
}

#[test]
fn who_is_not_accepted_is_refused_once_while_named() {
    let mut desk = Desk::new(Policy {
        accept: Accept::new(["shop*@*"]).unwrap(),
        ..Policy::default()
    });
    assert_eq!(desk.snapshot(0, &["shop1", "spy"]), ["shop1"]);
    desk.snapshot(0, &["shop1", "spy"]);
    desk.seen(1, "spy", SECOND);
    let refused = |event: &Event| {
        matches!(
            event,
            Event::Refused {
                reason: Refusal::NotAccepted,
                ..
            }
        )
    };
    assert_eq!(desk.events().iter().filter(|e| refused(e)).count(), 1);
    desk.snapshot(0, &["shop1"]);
    desk.pass(2 * SECOND);
    assert!(desk.state("spy").is_none());
    assert!(
        !desk
            .events()
            .iter()
            .any(|e| matches!(e, Event::Withdrawn { .. }))
    );
    desk.snapshot(0, &["shop1", "spy"]);
    assert_eq!(
        desk.events().iter().filter(|e| refused(e)).count(),
        1,
        "named anew"
    );
}

#[test]
fn dead_addresses_do_not_hold_up_a_node_that_has_just_started() {
    let mut desk = Desk::new(Policy {
        max_connecting: 4,
        ..Policy::default()
    });
    let dead: Vec<String> = (0..40).map(|i| format!("dead{i}")).collect();
    let names: Vec<&str> = dead.iter().map(String::as_str).collect();
    let connects = desk.snapshot(0, &names);
    assert_eq!(desk.fail(connects), 40, "each once");
    // From now on nobody answers at all.
    let retries = desk.pass(2 * SECOND);
    assert_eq!(retries.len(), 2, "retries take half of the attempts");
    assert_eq!(desk.started(1, "fresh", SECOND), ["fresh"]);
}

#[test]
fn first_attempts_are_made_in_the_order_of_the_sightings() {
    let mut desk = Desk::new(Policy {
        max_connecting: 1,
        ..Policy::default()
    });
    let mut order = desk.seen(0, "n0", 60 * SECOND);
    for i in 1..20 {
        desk.seen(0, &format!("n{i}"), 60 * SECOND);
    }
    while let Some(last) = order.last().cloned() {
        let next = desk.result(&last, true);
        if next.is_empty() {
            break;
        }
        order.extend(next);
    }
    let expected: Vec<_> = (0..20).map(|i| format!("n{i}")).collect();
    assert_eq!(order, expected);
}

#[test]
fn nodes_given_the_same_list_do_not_all_knock_at_the_same_door_first() {
    let names: Vec<NodeName> = (0..50).map(|i| name(&format!("n{i}"))).collect();
    let first = |seed| {
        let mut engine = Engine::new(
            None,
            Policy {
                max_connecting: 1,
                ..Policy::default()
            },
            seed,
        );
        let input = Input::Snapshot {
            provider: provider(0),
            nodes: names.clone(),
        };
        engine.handle(Duration::ZERO, input);
        std::iter::from_fn(|| engine.poll_action())
            .last()
            .map(|action| format!("{action:?}"))
    };
    let doors: std::collections::BTreeSet<_> = (0..20).map(first).collect();
    assert!(doors.len() > 10, "{doors:?}");
}

#[test]
fn refresh_ends_every_pause() {
    let mut desk = Desk::new(Policy::default());
    let connects = desk.snapshot(0, &["a", "b"]);
    desk.fail(connects);
    desk.pass_in_vain(30 * SECOND);
    let mut connects = desk.tell(Input::Refresh);
    connects.sort();
    assert_eq!(connects, ["a", "b"]);
}

#[test]
fn without_reconnection_each_fresh_sighting_is_one_attempt() {
    let mut desk = Desk::new(Policy {
        reconnect: false,
        ..no_jitter()
    });
    // One that fails and one that is lost: neither is tried again by itself.
    let connects = desk.snapshot(0, &["a", "b"]);
    assert_eq!(connects.len(), 2);
    desk.fail(vec!["a".into()]);
    assert!(
        desk.events
            .iter()
            .any(|event| matches!(event, Event::ConnectFailed { retry_in: None, .. }))
    );
    desk.up("b");
    desk.pass(600 * SECOND);
    desk.down("b");
    assert_eq!(desk.pass(600 * SECOND), []);
    assert_eq!(desk.snapshot(0, &["a", "b"]), [""; 0]);
    assert_eq!(desk.state("a"), Some(NodeState::Idle));
    assert_eq!(desk.state("b"), Some(NodeState::Idle));
    assert_eq!(desk.engine.next_wake(), None, "nothing happens by itself");

    // A node that is new is still found.
    let connects = desk.snapshot(0, &["a", "b", "c"]);
    assert_eq!(connects, ["c"]);
    desk.fail(connects);

    // A start that is announced is a fresh sighting; so is coming back after nobody named it.
    assert_eq!(desk.started(1, "b", 60 * SECOND), ["b"]);
    desk.up("b");
    assert_eq!(desk.snapshot(0, &["b"]), [""; 0]);
    desk.pass(31 * SECOND);
    assert_eq!(desk.snapshot(0, &["a", "b"]), ["a"]);
    desk.fail(vec!["a".into()]);

    // Whoever comes and goes all the time gets an attempt each time that a backoff would have passed at most.
    desk.snapshot(0, &["b"]);
    assert_eq!(desk.snapshot(0, &["a", "b"]), ["a"]);
    desk.fail(vec!["a".into()]);
    desk.snapshot(0, &["b"]);
    assert_eq!(desk.snapshot(0, &["a", "b"]), [""; 0]);
    let later: Vec<_> = desk
        .pass(31 * SECOND)
        .into_iter()
        .map(|(_, node)| node)
        .collect();
    assert_eq!(later, ["a"]);
    desk.fail(vec!["a".into()]);

    let mut connects = desk.tell(Input::Refresh);
    connects.sort();
    assert_eq!(connects, ["a"]);
}

#[test]
fn an_engine_that_may_not_connect_watches() {
    let mut desk = Desk::new(Policy {
        max_connecting: 0,
        ..Policy::default()
    });
    assert!(desk.snapshot(0, &["a"]).is_empty());
    assert_eq!(desk.state("a"), Some(NodeState::Known));
    assert_eq!(desk.events().len(), 1);
    assert!(desk.pass(600 * SECOND).is_empty());
}

#[test]
fn what_is_past_is_forgotten() {
    let backoff = Backoff::new(100 * MS, 2 * SECOND).unwrap();
    let mut desk = Desk::new(Policy {
        backoff,
        ..Policy::default()
    });
    for i in 0..2_000 {
        let node = format!("n{i}");
        let connects = desk.started(0, &node, 50 * MS);
        if i % 2 == 0 {
            desk.fail(connects);
        } else {
            desk.result(&node, true);
            desk.pass(10 * SECOND);
            desk.down(&node);
        }
        desk.pass_in_vain(100 * MS);
    }
    assert_eq!(desk.engine.nodes().count(), 0);
    // Two seconds after the last failure nothing at all is left to wake up for.
    desk.pass(3 * SECOND);
    assert_eq!(desk.engine.next_wake(), None);
}

#[test]
fn endless_times_do_not_overflow() {
    let mut desk = Desk::new(Policy {
        on_removed: OnRemoved::Disconnect {
            grace: Duration::MAX,
        },
        attempt_timeout: Duration::MAX,
        ..Policy::default()
    });
    desk.now = Duration::MAX - SECOND;
    desk.seen(0, "a", Duration::MAX);
    desk.result("a", true);
    desk.gone(0, "a");
    assert!(
        desk.engine
            .next_wake()
            .is_none_or(|wake| wake <= Duration::MAX)
    );
    let mut desk = Desk::new(Policy::default());
    desk.seen(0, "a", Duration::MAX);
    assert!(desk.engine.next_wake().unwrap() <= 24 * 3_600 * SECOND);
}

/// Why a node cannot be connected to, in a word.
fn failed_because(desk: &mut Desk, node: &str, reason: &str) -> Vec<String> {
    desk.tell(Input::ConnectResult {
        node: name(node),
        result: Err(ConnectError {
            reason: reason.into(),
            message: "a sentence".into(),
        }),
    })
}

#[test]
fn a_fault_that_cannot_heal_is_told_once_and_not_retried() {
    for reason in ["name_kind", "self", "invalid_name"] {
        let mut desk = Desk::new(no_jitter());
        assert_eq!(desk.snapshot(0, &["a"]), ["a"]);
        desk.events();
        failed_because(&mut desk, "a", reason);
        let told = desk.events();
        assert!(
            matches!(
                told.as_slice(),
                [Event::ConnectFailed { retry_in: None, .. }]
            ),
            "{told:?}"
        );
        // Being named again, and time, change nothing.
        for _ in 0..100 {
            assert!(desk.pass(60 * SECOND).is_empty(), "{reason}");
            assert!(desk.snapshot(0, &["a"]).is_empty(), "{reason}");
        }
        assert_eq!(desk.state("a"), Some(NodeState::Idle));
        assert_eq!(desk.events(), [], "{reason}");
    }
}

#[test]
fn what_could_not_heal_is_tried_again_after_a_fresh_sighting_or_a_refresh() {
    let mut desk = Desk::new(no_jitter());
    desk.snapshot(0, &["a"]);
    failed_because(&mut desk, "a", "name_kind");
    assert_eq!(desk.tell(Input::Refresh), ["a"]);
    failed_because(&mut desk, "a", "name_kind");

    desk.snapshot(0, &[]);
    desk.pass(SECOND);
    assert_eq!(desk.snapshot(0, &["a"]), ["a"]);
    failed_because(&mut desk, "a", "name_kind");

    // A name that comes and goes all the time is not tried each time, but it is not forgotten either.
    desk.snapshot(0, &[]);
    assert!(desk.snapshot(0, &["a"]).is_empty());
    let connects = desk.pass(2 * Policy::default().backoff.max());
    assert_eq!(connects.len(), 1, "{connects:?}");
    failed_because(&mut desk, "a", "name_kind");

    assert_eq!(desk.started(1, "a", 600 * SECOND), ["a"]);
    // Any other failure is retried.
    failed_because(&mut desk, "a", "refused");
    assert!(!desk.pass(60 * SECOND).is_empty());
}

#[test]
fn why_a_connection_ended_is_told() {
    let mut desk = Desk::new(no_jitter());
    desk.up("a");
    desk.events();
    desk.tell(Input::Down {
        node: name("a"),
        reason: Some("net_tick_timeout".into()),
    });
    let left = Event::Left {
        node: name("a"),
        reason: Some("net_tick_timeout".into()),
    };
    assert_eq!(desk.events(), [left]);
}

#[test]
fn a_hidden_node_that_nobody_names_is_no_peer() {
    let policy = Policy {
        max_nodes: Some(1),
        ..no_jitter()
    };
    let mut desk = Desk::new(policy);
    assert!(desk.up_hidden("shell").is_empty());
    assert_eq!(desk.events(), []);
    assert_eq!(desk.engine.nodes().count(), 0);
    // It takes no place, and its end is no news either.
    assert_eq!(desk.snapshot(0, &["a"]), ["a"]);
    desk.up("a");
    desk.events();
    desk.down("shell");
    assert_eq!(desk.events(), []);
    assert_eq!(desk.engine.counters().left, 0);
}

#[test]
fn a_hidden_node_is_a_peer_as_soon_as_it_is_named() {
    let mut desk = Desk::new(no_jitter());
    let joined = || Event::Joined {
        node: name("a"),
        after: None,
    };
    desk.up_hidden("a");
    assert!(desk.snapshot(0, &["a"]).is_empty(), "it is connected");
    assert_eq!(desk.events().last(), Some(&joined()));
    // Hearing of it again is no news.
    desk.up_hidden("a");
    desk.snapshot(0, &["a"]);
    assert_eq!(desk.events(), []);
    desk.down("a");
    assert!(matches!(desk.events().as_slice(), [Event::Left { .. }]));
    assert_eq!(desk.pass(SECOND).len(), 1);

    // One that is named before it is connected is a peer from the start.
    let mut desk = Desk::new(no_jitter());
    desk.snapshot(0, &["a"]);
    desk.events();
    desk.up_hidden("a");
    assert!(matches!(
        desk.events().as_slice(),
        [Event::Joined { after: Some(_), .. }]
    ));
}

#[test]
fn hidden_nodes_leave_nothing_in_disorder() {
    let mut state = 20_261_127_u64;
    println!("seed {state}");
    let mut draw = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let policy = Policy {
        accept: Accept::new(["a*@*", "b*@*"]).unwrap(),
        max_nodes: Some(2),
        on_removed: OnRemoved::Disconnect { grace: SECOND },
        ..no_jitter()
    };
    let mut desk = Desk::new(policy);
    let nodes = ["a", "b", "a2", "c"];
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..4_000 {
        let node = nodes[usize::try_from(draw(4)).unwrap()];
        // Each tells the engine, whose consistency is checked there.
        match draw(8) {
            0 | 1 => desk.up_hidden(node),
            2 => desk.up(node),
            3 | 4 => desk.down(node),
            5 => desk.snapshot(0, &nodes[..usize::try_from(draw(5)).unwrap()]),
            6 => desk.result(node, draw(2) == 0),
            _ => {
                desk.pass(MS * u32::try_from(draw(3_000)).unwrap());
                Vec::new()
            }
        };
        for event in desk.events() {
            match event {
                Event::Joined { node, .. } => assert!(told.insert(node)),
                Event::Left { node, .. } => assert!(told.remove(&node)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_provider_that_names_only_this_node_is_told_from_one_that_names_nobody() {
    let mut desk = Desk::new(no_jitter());
    let names_self = |desk: &Desk| desk.engine.providers().next().unwrap().names_self;
    desk.snapshot(0, &[]);
    assert!(!names_self(&desk));
    desk.snapshot(0, &["own"]);
    assert!(names_self(&desk));
    desk.snapshot(0, &["a"]);
    assert!(!names_self(&desk));
}

/// A desk whose first provider keeps names for 30 s.
fn keeping(policy: Policy) -> Desk {
    let mut desk = Desk::new(policy);
    desk.engine.set_keep_for(provider(0), 30 * SECOND);
    desk
}

fn withdrawn(desk: &Desk) -> Vec<String> {
    let names = desk.events.iter().filter_map(|event| match event {
        Event::Withdrawn { node, .. } => Some(node.name().to_owned()),
        _ => None,
    });
    names.collect()
}

fn warnings(desk: &Desk) -> usize {
    let warnings = desk.events.iter();
    warnings
        .filter(|event| event.provider_warning().is_some())
        .count()
}

#[test]
fn a_name_goes_after_several_answers_without_it_and_a_time() {
    let mut desk = keeping(Policy::default());
    assert_eq!(desk.snapshot(0, &["a", "b"]).len(), 2);
    // Many answers, but not for long enough.
    for _ in 0..29 {
        desk.now += SECOND;
        desk.snapshot(0, &["a"]);
    }
    assert!(withdrawn(&desk).is_empty());
    // Back in between: counted from the start again.
    desk.now += SECOND;
    desk.snapshot(0, &["b", "a"]);
    desk.now += SECOND;
    desk.snapshot(0, &["a"]);
    desk.now += 29 * SECOND;
    desk.snapshot(0, &["a"]);
    assert!(withdrawn(&desk).is_empty());
    // Long enough, but a failure is no answer: only the third one without it counts.
    desk.now += 3_600 * SECOND;
    desk.failed_lookup(0, "no answer");
    assert!(withdrawn(&desk).is_empty());
    desk.snapshot(0, &["a"]);
    assert_eq!(withdrawn(&desk), ["b"]);

    // A long time between two answers is not several answers.
    desk.now += 3_600 * SECOND;
    desk.snapshot(0, &[]);
    desk.now += 3_600 * SECOND;
    desk.snapshot(0, &[]);
    assert_eq!(withdrawn(&desk), ["b"]);
    desk.snapshot(0, &[]);
    assert_eq!(withdrawn(&desk), ["b", "a"]);
    assert_eq!(warnings(&desk), 0);
}

#[test]
fn a_provider_whose_answers_are_exact_and_a_goodbye_withdraw_at_once() {
    let mut desk = keeping(Policy::default());
    desk.snapshot(1, &["a"]);
    desk.snapshot(1, &[]);
    assert_eq!(withdrawn(&desk), ["a"]);
    desk.snapshot(0, &["b"]);
    desk.gone(0, "b");
    assert_eq!(withdrawn(&desk), ["a", "b"]);
}

#[test]
fn a_name_that_was_left_out_for_a_moment_is_tried_again_at_once() {
    let mut desk = keeping(Policy::default());
    desk.snapshot(0, &["a"]);
    desk.result("a", false);
    desk.snapshot(0, &[]);
    assert_eq!(desk.snapshot(0, &["a"]), ["a"], "it may have restarted");
}

/// Any `most` of the names, by a linear congruential generator.
fn some_of<'a>(names: &[&'a str], most: usize, state: &mut u64) -> Vec<&'a str> {
    let mut left = names.to_vec();
    let mut some = Vec::new();
    while some.len() < most && !left.is_empty() {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        some.push(left.swap_remove((*state >> 33) as usize % left.len()));
    }
    some
}

#[test]
fn random_parts_of_a_set_remove_nobody_and_a_node_that_is_gone_goes() {
    let names = ["a", "b", "c", "d", "e", "f"];
    // How long the source's cache repeats an answer, and how often it is asked, in seconds.
    for (cached, interval) in [(1, 1), (5, 5), (60, 5)] {
        let mut desk = keeping(Policy::default());
        let mut state = 7;
        let mut ask = |desk: &mut Desk, names: &[&str], asks: u64| {
            for _ in 0..asks {
                let part = some_of(names, 3, &mut state);
                for _ in 0..cached / interval {
                    desk.now += SECOND * interval;
                    desk.snapshot(0, &part);
                }
            }
        };
        ask(&mut desk, &names, 100);
        assert_eq!(warnings(&desk), 1, "cached for {cached} s");
        desk.events.clear();
        ask(&mut desk, &names, 300);
        assert!(withdrawn(&desk).is_empty(), "cached for {cached} s");
        assert_eq!(desk.engine.nodes().count(), 6);
        ask(&mut desk, &names[1..], 60);
        assert_eq!(withdrawn(&desk), ["a"], "cached for {cached} s");
        assert_eq!(warnings(&desk), 0, "once");
        // The source answers in full again.
        for _ in 0..1_000 {
            desk.now += SECOND * interval;
            desk.snapshot(0, &["c", "d"]);
        }
        assert_eq!(desk.engine.nodes().count(), 2);
    }
}

#[test]
fn a_rolling_restart_is_not_taken_for_partial_answers() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut desk = keeping(Policy::default());
    for _round in 0..3 {
        for missing in names {
            let rest: Vec<_> = names.into_iter().filter(|name| *name != missing).collect();
            for _ in 0..3 {
                desk.now += 5 * SECOND;
                desk.snapshot(0, &rest);
            }
        }
        desk.now += 4 * 3_600 * SECOND;
        desk.snapshot(0, &names);
    }
    assert_eq!((withdrawn(&desk).len(), warnings(&desk)), (0, 0));
}

#[test]
fn a_source_gone_wild_makes_a_bounded_number_of_atoms_each_hour() {
    let mut engine = Engine::new(None, Policy::default(), 11);
    let (mut now, mut next) = (Duration::ZERO, 0);
    let mut warnings = 0;
    let mut wild = |engine: &mut Engine, warnings: &mut usize, now, names: usize| {
        let nodes = (next..next + names).map(|n| name(&format!("n{n}")));
        let nodes = nodes.collect();
        next += names;
        let provider = provider(0);
        engine.handle(now, Input::Snapshot { provider, nodes });
        let mut connects = 0;
        while let Some(action) = engine.poll_action() {
            match action {
                Action::Connect(node) => {
                    connects += 1;
                    let error = ConnectError {
                        reason: "refused".into(),
                        message: "nobody listens".into(),
                    };
                    let result = Err(error);
                    engine.handle(now, Input::ConnectResult { node, result });
                }
                Action::Event(event) => {
                    *warnings += usize::from(event.provider_warning().is_some())
                }
                Action::Disconnect(_) => {}
            }
        }
        connects
    };
    let mut connects = 0;
    for _ in 0..60 {
        now += SECOND;
        connects += wild(&mut engine, &mut warnings, now, 1_000);
    }
    assert!(
        (9_999..=10_017).contains(&connects),
        "{connects} in the first minute"
    );
    assert_eq!(warnings, 1);
    for hour in 1..=3 {
        let mut connects = 0;
        for _ in 0..60 {
            now += 60 * SECOND;
            connects += wild(&mut engine, &mut warnings, now, 200);
        }
        assert!(
            (990..=1_010).contains(&connects),
            "{connects} in hour {hour}"
        );
    }
    assert!(warnings <= 4, "once an hour: {warnings}");
    engine.check_consistency().unwrap();
    // Not for names that are there already, and what waits is let in when there is room.
    let mut desk = Desk::new(Policy {
        max_new_nodes: Some(1),
        ..Policy::default()
    });
    let names: Vec<_> = (0..11).map(|n| format!("n{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(desk.snapshot(0, &names).len(), 10);
    for _ in 0..100 {
        desk.snapshot(0, &[]);
        assert!(desk.snapshot(0, &names).len() <= 10);
    }
    desk.pass(3_601 * SECOND);
    assert!(desk.engine.nodes().all(|view| view.is_wanted()));
}
