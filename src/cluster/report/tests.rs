use super::*;
use crate::cluster::ConnectError;

const S: Duration = Duration::from_secs(1);

fn node(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn id(index: usize) -> ProviderId {
    ProviderId::new(index).unwrap()
}

/// A reporter, its clock, and what it wrote beyond debug.
struct World {
    reporter: Reporter,
    now: Duration,
    lines: Vec<(Duration, Line)>,
    debug: Vec<Line>,
}

impl World {
    fn new() -> Self {
        Self {
            reporter: Reporter::new(vec!["dns".into(), "list".into()]),
            now: Duration::ZERO,
            lines: Vec::new(),
            debug: Vec::new(),
        }
    }

    fn collect(&mut self) {
        while let Some(line) = self.reporter.poll_line() {
            assert!(EVENTS.contains(&line.event), "{line:?}");
            match line.level {
                Level::Debug => self.debug.push(line),
                _ => self.lines.push((self.now, line)),
            }
        }
    }

    fn event(&mut self, event: &Event) {
        self.reporter.handle(self.now, event);
        self.collect();
    }

    /// Goes on to that moment, waking when it is asked for.
    fn until(&mut self, at: Duration) {
        while let Some(wake) = self.reporter.next_wake().filter(|&wake| wake <= at) {
            self.now = self.now.max(wake);
            self.reporter.wake(self.now);
            self.collect();
        }
        self.now = at;
    }

    fn found(&mut self, name: &str) {
        self.event(&Event::Discovered {
            node: node(name),
            provider: id(0),
        });
    }

    fn gone(&mut self, name: &str) {
        self.event(&Event::Withdrawn {
            node: node(name),
            provider: id(0),
        });
    }

    fn joined(&mut self, name: &str) {
        self.event(&Event::Joined {
            node: node(name),
            after: Some(5 * S),
        });
    }

    fn failed(&mut self, name: &str, reason: &str, message: &str) {
        self.event(&Event::ConnectFailed {
            node: node(name),
            error: ConnectError {
                reason: reason.into(),
                message: message.into(),
            },
            attempts: 1,
            retry_in: Some(S),
        });
    }

    /// What was written since the last call, without what was only found.
    fn told(&mut self) -> Vec<(Level, String)> {
        let lines = std::mem::take(&mut self.lines).into_iter();
        let lines = lines.filter(|(_, line)| line.event != "discovered");
        lines.map(|(_, line)| (line.level, line.text)).collect()
    }

    fn texts(&mut self) -> Vec<String> {
        self.told().into_iter().map(|(_, text)| text).collect()
    }
}

#[test]
fn ninety_five_dead_names_are_ten_lines_in_two_minutes_and_no_connected_is_lost() {
    let mut world = World::new();
    let dead: Vec<String> = (0..95).map(|index| format!("ghost{index}@h")).collect();
    for name in dead
        .iter()
        .map(String::as_str)
        .chain(["a@h", "b@h", "c@h", "d@h"])
    {
        world.found(name);
    }
    for second in 0..=120 {
        world.until(S * second);
        for name in &dead {
            // As the engine does: often at first, then each half a minute.
            if second < 10 || second % 30 == 0 {
                world.failed(
                    name,
                    "not_registered",
                    &format!("EPMD does not know it, try {second}"),
                );
            }
        }
        // In the middle of the flood.
        if let Some(name) = ["a@h", "b@h", "c@h", "d@h"].get(second as usize) {
            world.joined(name);
        }
    }
    let lines: Vec<_> = std::mem::take(&mut world.lines);
    let of = |event: &str| lines.iter().filter(|(_, line)| line.event == event).count();
    assert_eq!(of("joined"), 4, "{lines:#?}");
    assert_eq!(of("connect_failed"), 5);
    let failures = of("connect_failed") + of("connect_failed_summary");
    assert!(failures <= 10, "{failures}: {lines:#?}");
    let (at, first) = lines
        .iter()
        .find(|(_, line)| line.event == "connect_failed_summary")
        .unwrap();
    assert!(*at <= 3 * S, "{at:?}");
    assert_eq!(
        first.text,
        "95 peers cannot be connected: 95 not_registered (ghost0@h, ghost10@h, ghost11@h and 92 more)"
    );
    assert_eq!((first.level, first.count), (Level::Warning, Some(95)));
    assert_eq!(first.reason.as_deref(), Some("not_registered"));
    // Nothing new: the next ones warn nobody.
    let later: Vec<_> = lines
        .iter()
        .filter(|(_, line)| line.event == "connect_failed_summary")
        .collect();
    assert!(
        later[1..]
            .iter()
            .all(|(_, line)| line.level == Level::Notice),
        "{later:#?}"
    );
    // Each node's own cause is there for those who look.
    for name in &dead {
        let told = lines.iter().map(|(_, line)| line).chain(&world.debug);
        let name = node(name);
        let mut told =
            told.filter(|line| line.event == "connect_failed" && line.node.as_ref() == Some(&name));
        assert!(told.any(|line| line.text.contains("EPMD does not know it")));
    }
}

#[test]
fn the_same_failure_is_told_once_and_another_at_once() {
    let mut world = World::new();
    world.found("b@h");
    for attempt in 0..10 {
        world.now = S * attempt;
        world.failed("b@h", "refused", &format!("port {attempt} refuses"));
    }
    assert_eq!(
        world.told(),
        [(
            Level::Warning,
            "cannot connect to b@h: port 0 refuses; the next attempt comes in 1 s".into()
        )]
    );
    world.failed("b@h", "cookie", "the cookies differ");
    assert_eq!(world.texts().len(), 1);
    // Back and forth is no news.
    for _ in 0..5 {
        world.failed("b@h", "refused", "port 7 refuses");
        world.failed("b@h", "cookie", "the cookies differ");
    }
    assert_eq!(world.texts(), [""; 0]);
    world.until(90 * S);
    assert_eq!(
        world.texts(),
        ["1 peer cannot be connected: 1 cookie (b@h)"]
    );
    world.joined("b@h");
    let told = world.told();
    assert_eq!(
        told[0].0,
        Level::Notice,
        "who was alarmed sees the end of it: {told:?}"
    );
    assert_eq!(
        told[1],
        (Level::Notice, "no peer fails to connect any more".into())
    );
    world.until(600 * S);
    assert_eq!(world.texts(), [""; 0]);
    assert_eq!(world.reporter.next_wake(), None);
}

#[test]
fn a_failure_that_no_line_told_is_not_remembered_as_told() {
    let mut world = World::new();
    for index in 0..6 {
        world.found(&format!("n{index}@h"));
        world.failed(&format!("n{index}@h"), "refused", "it refuses");
    }
    assert_eq!(world.texts().len(), 5);
    // The sixth was left out, so its connect ends no alarm.
    world.joined("n5@h");
    assert_eq!(world.told()[0].0, Level::Info);
    world.joined("n0@h");
    assert_eq!(world.told()[0].0, Level::Notice);
}

#[test]
fn what_was_left_out_is_written_by_a_timer_and_not_with_the_next_line() {
    let mut world = World::new();
    for index in 0..8 {
        world.found(&format!("n{index}@h"));
        world.failed(&format!("n{index}@h"), "refused", "it refuses");
    }
    world.told();
    let wake = world.reporter.next_wake().expect("a time for the rest");
    assert!(wake <= 2 * S, "{wake:?}");
    world.until(wake);
    assert_eq!(
        world.texts(),
        ["8 peers cannot be connected: 8 refused (n0@h, n1@h, n2@h and 5 more)"]
    );
}

#[test]
fn a_name_that_flaps_each_second_is_summed_up() {
    let mut world = World::new();
    for second in 0..120 {
        world.until(S * second);
        if second % 2 == 0 {
            world.found("b@h");
        } else {
            world.gone("b@h");
        }
    }
    world.until(200 * S);
    let lines: Vec<_> = world
        .lines
        .iter()
        .map(|(_, line)| line.text.as_str())
        .collect();
    assert!(lines.len() <= 5, "{lines:#?}");
    assert_eq!(
        lines[..2],
        ["found b@h (dns)", "b@h is no longer named (dns)"]
    );
    assert_eq!(
        lines[2],
        "nodes that had no line of their own: 1 named and not named again and again (b@h)"
    );
    // A minute after the last change it is told as any other.
    world.until(300 * S);
    world.lines.clear();
    world.found("b@h");
    assert_eq!(world.lines.len(), 1);
}

#[test]
fn a_thousand_names_at_once_are_some_lines_and_a_sum() {
    let mut world = World::new();
    for index in 0..1000 {
        world.found(&format!("n{index}@h"));
    }
    world.until(10 * S);
    assert_eq!(world.lines.len(), 21);
    let (_, last) = world.lines.last().unwrap();
    assert!(last.text.contains("980 found (n"), "{}", last.text);
    assert!(last.text.len() < 200, "{}", last.text);
}

#[test]
fn nodes_that_nobody_names_are_not_told_of() {
    let mut world = World::new();
    let joined = |text: &str| Event::Joined {
        node: node(text),
        after: None,
    };
    let left = |text: &str| Event::Left {
        node: node(text),
        reason: Some("connection_closed".into()),
    };
    world.event(&joined("shell@h"));
    world.event(&left("shell@h"));
    assert_eq!(world.texts(), [""; 0]);

    // One that was connected before anybody named it: the line says so, and its end is told.
    world.event(&joined("b@h"));
    world.found("b@h");
    assert_eq!(
        world.lines.last().unwrap().1.text,
        "found b@h (dns); it is connected already"
    );
    world.event(&left("b@h"));
    assert_eq!(
        world.texts(),
        ["the connection to b@h ended (connection_closed)"]
    );
    world.joined("b@h");
    assert_eq!(world.texts(), ["connected to b@h again after 5 s"]);

    // A peer says goodbye before it goes, and is told of all the same; but only once.
    world.gone("b@h");
    world.event(&left("b@h"));
    world.event(&left("b@h"));
    assert_eq!(world.texts().len(), 2);
    assert!(world.reporter.nodes.is_empty(), "nothing is kept of it");
}

#[test]
fn attempts_at_a_node_that_nobody_names_any_more_are_for_debugging() {
    let mut world = World::new();
    world.found("b@h");
    world.failed("b@h", "refused", "it refuses");
    world.gone("b@h");
    let told = world.told();
    assert_eq!(
        told[1].0,
        Level::Notice,
        "the end of what was warned of: {told:?}"
    );
    world.failed("b@h", "timeout", "it is silent");
    world.until(300 * S);
    assert_eq!(world.texts(), [""; 0]);
}

#[test]
fn a_provider_that_fails_is_told_at_once_cut_and_again_after_a_while() {
    let mut world = World::new();
    let failed = |error: &str| Event::ProviderFailed {
        provider: id(0),
        error: error.into(),
    };
    world.event(&failed("SERVFAIL"));
    assert_eq!(
        world.texts(),
        ["dns failed: SERVFAIL (no nodes are known from it)"]
    );
    world.event(&Event::ProviderRecovered { provider: id(0) });
    assert_eq!(
        world.told(),
        [(Level::Notice, "dns answers again after 0 ms".into())]
    );
    world.found("b@h");
    world.lines.clear();
    world.event(&failed(&"x".repeat(20_000)));
    let texts = world.texts();
    assert!(texts[0].len() < 1200, "{}", texts[0].len());
    assert!(
        texts[0].ends_with("(the node that it named before is kept)"),
        "{}",
        texts[0]
    );
    // An error that is another one each time.
    for index in 0..100 {
        world.event(&failed(&format!("error {}", "y".repeat(index))));
    }
    assert!(world.texts().len() <= 2);
    world.until(1300 * S);
    let texts = world.texts();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].starts_with("dns has failed for 10 min: error y"),
        "{}",
        texts[0]
    );
}

#[test]
fn a_provider_that_fails_and_recovers_in_turns_is_told_of_once() {
    let mut world = World::new();
    let failed = Event::ProviderFailed {
        provider: id(0),
        error: "forbidden (took 12 ms)".into(),
    };
    let recovered = Event::ProviderRecovered { provider: id(0) };
    let mut now = Duration::ZERO;
    for _ in 0..20 {
        world.event(&failed);
        now += 3 * S;
        world.until(now);
        world.event(&recovered);
        now += 10 * S;
        world.until(now);
    }
    let told = world.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0].0, Level::Warning);
    assert!(told[1].1.starts_with("dns answers again"), "{told:?}");
    // One that does not go away is told of again, although its end was told last.
    world.lines.clear();
    world.event(&failed);
    now += 70 * S;
    world.until(now);
    let told = world.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        told[0],
        (
            Level::Warning,
            "dns has failed for 1 min: forbidden (took 12 ms)".into()
        )
    );
    world.lines.clear();
    world.event(&recovered);
    assert_eq!(world.told().len(), 1, "its end is told too");
    // So is one that comes back after a while.
    world.lines.clear();
    now += 700 * S;
    world.until(now);
    world.event(&failed);
    let told = world.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, Level::Warning);
}

#[test]
fn many_failures_keep_coming_and_the_lines_stay_few() {
    let mut world = World::new();
    for second in 0..600 {
        world.until(S * second);
        let name = format!("n{second}@h");
        world.found(&name);
        world.failed(&name, "refused", "it refuses");
    }
    let of = |event: &str| {
        world
            .lines
            .iter()
            .filter(|(_, line)| line.event == event)
            .count()
    };
    let failures = of("connect_failed") + of("connect_failed_summary");
    assert!(failures <= 100, "{failures}");
}

#[test]
fn a_failure_that_no_retry_can_heal_is_told_once_and_not_each_minute() {
    let mut world = World::new();
    let names: Vec<String> = (0..20).map(|index| format!("n{index}@h")).collect();
    for name in &names {
        world.found(name);
        world.event(&Event::ConnectFailed {
            node: node(name),
            error: ConnectError {
                reason: "name_kind".into(),
                message: "one name is long, the other short".into(),
            },
            attempts: 1,
            retry_in: None,
        });
    }
    world.until(600 * S);
    let texts = world.texts();
    assert_eq!(texts.len(), 6, "{texts:#?}");
    assert!(
        texts[5].starts_with("15 peers cannot be connected: 15 name_kind (n"),
        "{}",
        texts[5]
    );
    assert_eq!(world.reporter.next_wake(), None);
}

#[test]
fn dead_names_that_flap_each_second_are_few_lines() {
    let mut world = World::new();
    for second in 0..120 {
        world.until(S * second);
        for index in 0..50 {
            let name = format!("n{index}@h");
            if second % 2 == 0 {
                world.found(&name);
                world.failed(&name, "refused", "it refuses");
            } else {
                world.gone(&name);
            }
        }
    }
    assert!(world.lines.len() <= 120, "{}", world.lines.len());
    let failed = world
        .lines
        .iter()
        .filter(|(_, line)| line.event == "connect_failed")
        .count();
    assert!(failed <= 15, "{failed}");
}
