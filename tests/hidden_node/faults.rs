//! Faults, each done to one BEAM that is connected to the hidden node and to another BEAM alike: both have to
//! end up the same, and at about the same time.
//!
//! The BEAM that suffers runs on a host of its own (a network namespace), the other one on another. The
//! hidden node is in the test's process, on the machine's own address of that network.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rendez::dist::{CloseReason, DialOptions, Identity, dial};
use rendez::epmd::Client;
use rendez::epmd::codec::Name;
use rendez::etf::{Atom, Pid, Reference, Term};
use rendez::node::{Monitored, NodeEvent, Process, Received};
use rendez::{NodeName, Secret};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};

use crate::support::{alone, skip};
use crate::world::*;

/// OTP's `net_ticktime` is at least this in these tests: ticks go out each second.
const TICK_TIME: Duration = Duration::from_secs(4);
/// OTP's `net_setuptime`.
const SETUP_TIME: Duration = Duration::from_secs(7);
/// By how much two ends may differ that are the same on an idle machine. It is that much because a machine that is
/// busy with something else may hold up either of them.
const SLACK: Duration = Duration::from_secs(20);

/// The three nodes.
struct Field {
    lan: Lan,
    /// What happens, happens to it.
    victim: Beam,
    /// Sees it as a BEAM does.
    watcher: Beam,
    /// Sees it as we do.
    node: Node,
    events: broadcast::Receiver<NodeEvent>,
    tick_time: Duration,
    epmd_of_victim: Epmd,
    epmd_of_watcher: Epmd,
    epmd_of_node: Epmd,
}

/// How a connection to the victim ended.
#[derive(Debug)]
struct Down {
    after: Duration,
    reason: String,
}

/// Sets up a watcher's log of nodes that come and go, with the time of the machine's clock.
const LOG: &str = "register(log, spawn(fun() -> \
      net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]), \
      Loop = fun L(Log) -> receive \
          {nodeup, N, _} -> L([{up, N, os:system_time(millisecond), ok} | Log]); \
          {nodedown, N, I} -> L([{down, N, os:system_time(millisecond), proplists:get_value(nodedown_reason, I)} | Log]); \
          {peek, From} -> From ! {log, lists:reverse(Log)}, L(Log); \
          {take, From} -> From ! {log, lists:reverse(Log)}, L([]) end end, \
      Loop([]) end))";
const TAKE: &str =
    "(fun() -> log ! {take, self()}, receive {log, Log} -> Log after 300000 -> late end end)()";
const PEEK: &str =
    "(fun() -> log ! {peek, self()}, receive {log, Log} -> Log after 300000 -> late end end)()";

fn clock() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_millis()
}

/// Ours and theirs ended within about the same time.
fn alike(fault: &str, ours: Duration, theirs: Duration) {
    println!("{fault}: ours ended after {ours:?}, theirs after {theirs:?}");
    let (shorter, longer) = (ours.min(theirs), ours.max(theirs));
    assert!(
        longer <= shorter * 2 + SLACK,
        "{fault}: ours after {ours:?}, theirs after {theirs:?}"
    );
}

impl Field {
    async fn new(tick_time: Duration, what: &str) -> Option<Self> {
        if !beam_is_installed(what) {
            return None;
        }
        let lan = Lan::new(2, what)?;
        let port = free_tcp_port();
        let epmd_of_victim = Epmd::start_on(port, &lan.enter(1));
        let epmd_of_watcher = Epmd::start_on(port, &lan.enter(2));
        let epmd_of_node = Epmd::start_at(port, &lan.machine());
        let victim = Beam::start(&epmd_of_victim, &beam(&lan, 1, tick_time));
        let mut watcher = Beam::start(&epmd_of_watcher, &beam(&lan, 2, tick_time));
        watcher.eval(LOG);
        let machine: IpAddr = lan.machine().parse().expect("an address");
        let node = builder(&format!("rust@{machine}"), &epmd_of_node)
            .listen(SocketAddr::new(machine, 0))
            .tick_time(tick_time)
            .start()
            .await
            .expect("the node starts");
        let events = node.subscribe();
        let mut field = Self {
            lan,
            victim,
            watcher,
            node,
            events,
            tick_time,
            epmd_of_victim,
            epmd_of_watcher,
            epmd_of_node,
        };
        field.connect().await;
        Some(field)
    }

    fn victim_name(&self) -> NodeName {
        name(&self.victim.name)
    }

    /// Lets both connect to the victim.
    async fn connect(&mut self) {
        let victim = self.victim_name();
        let joined = format!("net_kernel:connect_node('{victim}')");
        assert_eq!(self.watcher.eval(&joined), "true");
        self.node.connect(&victim).await.expect("a connection");
        self.up().await;
        self.forget().await;
    }

    /// Waits until both have been told that the victim is up. That comes a moment after the connection.
    async fn up(&mut self) {
        let victim = self.victim_name();
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await;
            let event = event.expect("the victim is told to be up");
            if matches!(event, Ok(NodeEvent::Up(node)) if node.name == victim) {
                break;
            }
        }
        let up = format!("length([N || {{up, '{victim}' = N, _, _}} <- {PEEK}]) > 0");
        self.watcher.wait_until(&up, PATIENCE, |up| up == "true");
    }

    /// Forgets what came and went so far.
    async fn forget(&mut self) {
        self.watcher.eval(TAKE);
        while self.events.try_recv().is_ok() {}
    }

    /// Waits until both have seen the victim go: ours, then theirs.
    async fn down_since(&mut self, fault: u128) -> (Down, Down) {
        let patience = PATIENCE + self.tick_time;
        let victim = self.victim_name();
        let ours = loop {
            let event = timeout(patience, self.events.recv()).await;
            match event.expect("the victim is seen to go").expect("events") {
                NodeEvent::Down(node, reason) if node.name == victim => {
                    break Down {
                        after: after(fault, clock()),
                        reason: told(&reason),
                    };
                }
                _ => {}
            }
        };
        let start = Instant::now();
        let take = format!("[{{T, R}} || {{down, '{victim}', T, R}} <- {TAKE}]");
        loop {
            let seen = self.watcher.eval(&take);
            // One entry: `[{1700000000000,net_tick_timeout}]`.
            if let Some((time, reason)) = seen.trim_matches(['[', ']', '{', '}']).split_once(',') {
                let theirs = Down {
                    after: after(fault, time.parse().expect("a time")),
                    reason: reason.to_owned(),
                };
                println!("ours: {ours:?}\ntheirs: {theirs:?}");
                return (ours, theirs);
            }
            assert!(start.elapsed() < patience, "the watcher sees nothing go");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Both reach the victim, each over a connection that it has or makes.
    async fn reach(&mut self) {
        let victim = self.victim_name();
        let ping = format!("net_adm:ping('{victim}')");
        self.watcher
            .wait_until(&ping, PATIENCE, |answer| answer == "pong");
        let start = Instant::now();
        while let Err(error) = self.node.ping(&victim, PATIENCE).await {
            assert!(start.elapsed() < PATIENCE, "{error}");
            sleep(Duration::from_millis(50)).await;
        }
        let connected = self.victim.eval("lists:sort(nodes(connected))");
        assert_eq!(
            connected,
            format!("['rust@{}','{}']", self.lan.machine(), self.watcher.name)
        );
    }

    /// Starts the victim again, under its name.
    fn restart_victim(&mut self) {
        self.victim = Beam::start(&self.epmd_of_victim, &beam(&self.lan, 1, self.tick_time));
    }

    /// Where the hidden node takes connections, and where the watcher does.
    async fn ports(&self) -> [SocketAddr; 2] {
        let mut addresses = Vec::new();
        for (own, host) in [("rust", self.lan.machine()), ("w", self.lan.address(2))] {
            let client = Client::new(host.clone(), self.epmd_of_node.port);
            let found = client.port_please(&Name::new(own).unwrap()).await;
            let port = found.unwrap().expect("it is registered").port;
            addresses.push(SocketAddr::new(host.parse().unwrap(), port));
        }
        [addresses[0], addresses[1]]
    }
}

fn beam(lan: &Lan, host: u8, tick_time: Duration) -> BeamOptions {
    // In another order than their hosts', so that each side of a simultaneous attempt is met.
    let own = ["z", "w"][usize::from(host) - 1];
    BeamOptions::erl(&format!("{own}@{}", lan.address(host)))
        .flags(["-start_epmd", "false", "-connect_all", "false"])
        .flags(["-kernel", "prevent_overlapping_partitions", "false"])
        .flags(["net_ticktime", &tick_time.as_secs().to_string()])
        .within(&lan.enter(host))
}

fn after(start: u128, end: u128) -> Duration {
    Duration::from_millis(u64::try_from(end.saturating_sub(start)).unwrap_or(u64::MAX))
}

/// Our reason in the words of `nodedown_reason`.
fn told(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Silent(_) => "net_tick_timeout".into(),
        CloseReason::ByPeer => "connection_closed".into(),
        other => other.to_string(),
    }
}

/// Links and monitors between a process of ours and one of the victim's, and the same between the watcher and
/// the victim.
struct Bound {
    ours: Process,
    theirs: Pid,
    monitors: [Reference; 2],
}

impl Bound {
    async fn new(field: &mut Field) -> Self {
        let mut ours = field.node.process();
        ours.trap_exit(true);
        ours.register(Atom::new("ours")).unwrap();
        let node = field.node.name().to_string();
        field.victim.eval(&format!(
            "Kept = spawn(fun() -> process_flag(trap_exit, true), Self = self(), register(theirs, Self), \
                {{ours, '{node}'}} ! Self, \
                M = monitor(process, {{ours, '{node}'}}), \
                L = fun L(Log) -> receive {{take, From}} -> From ! {{log, lists:sort(Log)}}, L([]); \
                    {{'DOWN', M, _, _, R}} -> L([{{down, R}} | Log]); {{'EXIT', _, R}} -> L([{{exit, R}} | Log]) end end, \
                L([]) end)"
        ));
        let told = ours.receive_timeout(PATIENCE).await;
        let Some(Received::Message(Term::Pid(theirs))) = told else {
            panic!("no pid: {told:?}");
        };
        let by_name = Monitored::Name(Atom::new("theirs"), theirs.node.clone());
        let monitors = [
            ours.monitor(Monitored::Pid((*theirs).clone())).await,
            ours.monitor(by_name).await,
        ];
        ours.link(&theirs).await;
        let victim = field.victim_name();
        field.watcher.eval(&format!(
            "Monitor = monitor(process, {{theirs, '{victim}'}})"
        ));
        Self {
            ours,
            theirs: *theirs,
            monitors,
        }
    }

    /// Both sides hear of the end, with the reason of a connection that is gone.
    async fn broken(mut self, field: &mut Field) {
        let noconnection = Term::atom("noconnection");
        let mut heard = Vec::new();
        for _ in 0..3 {
            match self.ours.receive_timeout(PATIENCE).await {
                Some(Received::Down {
                    reference, reason, ..
                }) => {
                    assert_eq!(reason, noconnection);
                    assert!(self.monitors.contains(&reference));
                    heard.push("down");
                }
                Some(Received::Exit { from, reason }) => {
                    assert_eq!((from, reason), (self.theirs.clone(), noconnection.clone()));
                    heard.push("exit");
                }
                other => panic!("{other:?} after {heard:?}"),
            }
        }
        heard.sort_unstable();
        assert_eq!(heard, ["down", "down", "exit"]);
        let fired = "receive {'DOWN', Monitor, _, _, Why} -> Why after 300000 -> late end";
        assert_eq!(field.watcher.eval(fired), "noconnection");
    }

    /// What a victim that lives heard.
    fn victim_heard(field: &mut Field) {
        let log = "(fun() -> Kept ! {take, self()}, receive {log, Log} -> Log after 300000 -> late end end)()";
        let heard = field.victim.eval(log);
        assert_eq!(heard, "[{down,noconnection},{exit,noconnection}]");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_drops_packets_longer_than_the_tick_time() {
    // What is lost in the short cut is sent again after up to three seconds.
    let tick_time = TICK_TIME * 2;
    let Some(mut field) = Field::new(tick_time, "a link that drops packets").await else {
        return;
    };
    // Not for long: nobody notices.
    if let Err(why) = field.lan.cut(1, true) {
        skip("a link that drops packets", &why);
        return;
    }
    sleep(Duration::from_millis(500)).await;
    field.lan.cut(1, false).unwrap();
    field.reach().await;
    assert_eq!(field.watcher.eval(TAKE), "[]");
    assert!(field.events.try_recv().is_err());

    let bound = Bound::new(&mut field).await;
    let fault = clock();
    field.lan.cut(1, true).unwrap();
    let (ours, theirs) = field.down_since(fault).await;
    assert_eq!(ours.reason, theirs.reason);
    alike("a link that drops packets", ours.after, theirs.after);
    bound.broken(&mut field).await;
    // The victim has lost both as well.
    field
        .victim
        .wait_until("nodes(connected)", PATIENCE, |nodes| nodes == "[]");
    Bound::victim_heard(&mut field);
    field.lan.cut(1, false).unwrap();
    field.reach().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_killed() {
    let Some(mut field) = Field::new(TICK_TIME, "a peer that is killed").await else {
        return;
    };
    let bound = Bound::new(&mut field).await;
    let fault = clock();
    field.victim.signal("KILL");
    let (ours, theirs) = field.down_since(fault).await;
    assert_eq!(ours.reason, theirs.reason);
    alike("a peer that is killed", ours.after, theirs.after);
    bound.broken(&mut field).await;
    let error = field.node.connect(&field.victim_name()).await.unwrap_err();
    assert!(
        matches!(error.reason(), "not_registered" | "refused"),
        "{error}"
    );
}

/// What both do about a peer that its kernel still answers for.
async fn stopped(tick_time: Duration, stopped_for: Duration) {
    let Some(mut field) = Field::new(tick_time, "a peer that is stopped").await else {
        return;
    };
    let start = Instant::now();
    let fault = clock();
    field.victim.signal("STOP");
    let (ours, theirs) = field.down_since(fault).await;
    assert_eq!(ours.reason, theirs.reason);
    alike("a peer that is stopped", ours.after, theirs.after);

    // It takes a connection, or rather its kernel does, and says nothing.
    let victim = field.victim_name();
    let began = Instant::now();
    let error = field.node.connect(&victim).await.unwrap_err();
    let ours = began.elapsed();
    assert_eq!(error.reason(), "timeout", "{error}");
    let began = Instant::now();
    let joined = format!("net_kernel:connect_node('{victim}')");
    assert_eq!(field.watcher.eval(&joined), "false");
    alike("connecting to a stopped peer", ours, began.elapsed());

    sleep(stopped_for.saturating_sub(start.elapsed())).await;
    field.victim.signal("CONT");
    field.reach().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_stopped() {
    stopped(TICK_TIME, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute and a half"]
async fn a_peer_that_is_stopped_for_70_seconds() {
    let whole = Duration::from_secs(70);
    stopped(rendez::dist::DEFAULT_TICK_TIME, whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_restarts_at_once_under_the_same_name() {
    let Some(mut field) = Field::new(TICK_TIME, "a peer that restarts").await else {
        return;
    };
    let creation = "binary:part(term_to_binary(self()), {byte_size(term_to_binary(self())), -4})";
    let first = field.victim.eval(creation);
    field.victim.kill();
    field.restart_victim();
    assert_ne!(field.victim.eval(creation), first, "a new creation");
    field.reach().await;
    field.up().await;

    // Its end does not get through, so that both still hold the earlier connection when it connects again.
    field.forget().await;
    let fault = clock();
    if let Err(why) = field.lan.cut(1, true) {
        skip("a peer that is back before it was missed", &why);
        return;
    }
    field.victim.kill();
    field.restart_victim();
    field.lan.cut(1, false).unwrap();
    for peer in [field.node.name().to_string(), field.watcher.name.clone()] {
        let ping = format!("net_adm:ping('{peer}')");
        field
            .victim
            .wait_until(&ping, PATIENCE, |answer| answer == "pong");
    }
    let (ours, theirs) = field.down_since(fault).await;
    alike(
        "a peer that is back before it was missed",
        ours.after,
        theirs.after,
    );
    field.reach().await;
    assert_eq!(field.node.nodes(), [field.victim_name()]);
}

/// Reads until the peer ends the connection; ticks are among what comes.
async fn ends(stream: &mut (impl AsyncRead + Unpin), within: Duration) -> Duration {
    let start = Instant::now();
    let mut buffer = [0; 4096];
    let end = async { while let Ok(1..) = stream.read(&mut buffer).await {} };
    timeout(within, end).await.expect("the connection ends");
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_half_a_message_and_stops() {
    let Some(field) = Field::new(TICK_TIME, "a peer that sends half a message").await else {
        return;
    };
    let own = name(&format!("half@{}", field.lan.machine()));
    let identity = Identity::new(own, 7, Secret::new(COOKIE));
    let options = DialOptions {
        epmd_port: field.epmd_of_node.port,
        ..DialOptions::default()
    };
    let mut ended = Vec::new();
    for peer in [field.node.name().clone(), name(&field.watcher.name)] {
        let (mut stream, _) = dial(&identity, &peer, &options, || true).await.unwrap();
        stream.write_all(b"\0\0\x01\0p\x83h").await.unwrap();
        ended.push(ends(&mut stream, PATIENCE).await);
    }
    alike("half a message", ended[0], ended[1]);

    // As with a handshake that does not go on, and with one that begins with nonsense.
    for half in [&b"\0\x1aN\0\0"[..], b"\0\x03xyz"] {
        let mut ended = Vec::new();
        for peer in field.ports().await {
            let mut stream = TcpStream::connect(peer).await.unwrap();
            stream.write_all(half).await.unwrap();
            ended.push(ends(&mut stream, PATIENCE).await);
        }
        alike("half a handshake", ended[0], ended[1]);
    }
    // Nobody else noticed.
    assert_eq!(field.node.nodes(), [field.victim_name()]);
}

/// How much memory this process has, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_floods() {
    // It measures the memory of its process.
    if !alone("faults::a_peer_that_floods") {
        return;
    }
    let Some(mut field) = Field::new(TICK_TIME, "a peer that floods").await else {
        return;
    };
    let before = resident();
    // A gigabyte for somebody who is not there, and small messages besides.
    let ours = field.node.name().to_string();
    let flood = format!(
        "Flooded = [spawn_monitor(fun() -> [{{nobody, N}} ! M || M <- [binary:copy(<<0>>, 1 bsl 20)], _ <- lists:seq(1, 500)], \
            [{{nobody, N}} ! {{m, I}} || I <- lists:seq(1, 100000)] end) || N <- ['{ours}', '{}']], ok",
        field.watcher.name
    );
    field.victim.eval(&flood);
    // Both go on with everything else.
    let mut asked = 0;
    let watcher = name(&field.watcher.name);
    let done = "length([P || {P, _} <- Flooded, is_process_alive(P)])";
    let start = Instant::now();
    while field.victim.eval(done) != "0" {
        field.node.ping(&watcher, PATIENCE).await.unwrap();
        asked += 1;
        assert!(start.elapsed() < PATIENCE * 3, "the flood does not end");
    }
    // What was sent has arrived when the answer to what was sent behind it has.
    let ping = format!("net_adm:ping('{ours}')");
    assert_eq!(field.victim.eval(&ping), "pong");
    let grown = resident().saturating_sub(before);
    println!(
        "a flood: {asked} pings meanwhile, grown by {} KiB",
        grown / 1024
    );
    assert!(grown < 256 << 20, "grown by {grown} bytes");
    assert!(
        field
            .events
            .try_recv()
            .is_ok_and(|event| matches!(event, NodeEvent::Up(peer) if peer.name == watcher))
    );
    assert!(field.events.try_recv().is_err(), "no connection went");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_floods_a_process_that_does_not_keep_up() {
    if !alone("faults::a_peer_that_floods_a_process_that_does_not_keep_up") {
        return;
    }
    let Some(mut field) = Field::new(TICK_TIME, "a process that does not keep up").await else {
        return;
    };
    let watcher = name(&field.watcher.name);
    field.node.ping(&watcher, PATIENCE).await.unwrap();
    let mut slow = field.node.process();
    slow.register(Atom::new("slow")).unwrap();
    let before = resident();
    let ours = field.node.name().to_string();
    let send = format!(
        "B = binary:copy(<<7>>, 1 bsl 20), spawn(fun() -> [{{slow, '{ours}'}} ! {{N, B}} || N <- lists:seq(1, 200)] end), ok"
    );
    field.victim.eval(&send);
    // For a while it takes nothing. What cannot wait here waits there, and others are not concerned.
    sleep(TICK_TIME / 2).await;
    field.node.ping(&watcher, PATIENCE).await.unwrap();
    let grown = resident().saturating_sub(before);
    println!("a slow process: {} KiB wait for it", grown / 1024);
    assert!(grown < 100 << 20, "grown by {grown} bytes");
    for number in 1..=200 {
        let message = slow.receive_timeout(PATIENCE).await;
        let Some(Received::Message(Term::Tuple(message))) = message else {
            panic!("{message:?} where message {number} was due");
        };
        assert_eq!(message[0], Term::Int(number));
        assert_eq!(
            message[1].as_binary().map(|bytes| bytes.len()),
            Some(1 << 20)
        );
    }
    field.reach().await;
    field.forget().await;

    // Then it takes nothing for ever: that connection ends, with its reason, and no other.
    field.victim.eval(&send);
    let victim = field.victim_name();
    let event = timeout(PATIENCE, field.events.recv()).await.unwrap();
    let Ok(NodeEvent::Down(peer, reason)) = event else {
        panic!("{event:?}");
    };
    println!("a process that takes nothing: {reason}");
    assert_eq!(peer.name, victim);
    field.node.ping(&watcher, PATIENCE).await.unwrap();
    assert_eq!(field.node.nodes(), [watcher]);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_connect_and_say_nothing() {
    let Some(mut field) = Field::new(TICK_TIME, "strangers").await else {
        return;
    };
    let mut ended = Vec::new();
    for peer in field.ports().await {
        let mut streams = Vec::new();
        for _ in 0..400 {
            streams.push(TcpStream::connect(peer).await.unwrap());
        }
        // There is room for those who have something to say.
        let ours = field.node.name().to_string();
        let ping = format!("erlang:disconnect_node('{ours}'), net_adm:ping('{ours}')");
        assert_eq!(field.watcher.eval(&ping), "pong");
        let start = Instant::now();
        for stream in &mut streams {
            ends(stream, PATIENCE).await;
        }
        ended.push(start.elapsed());
    }
    assert!(ended[0] < SETUP_TIME * 2 + SLACK, "{ended:?}");
    alike("strangers that say nothing", ended[0], ended[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn epmd_is_killed() {
    let Some(mut field) = Field::new(TICK_TIME, "EPMD is killed").await else {
        return;
    };
    field.epmd_of_node.kill();
    field.epmd_of_watcher.kill();
    // What is connected stays connected; who is not finds nobody.
    sleep(TICK_TIME).await;
    field.reach().await;
    assert_eq!(field.watcher.eval(TAKE), "[]");
    assert!(field.events.try_recv().is_err());
    let victim = field.victim_name();
    let ours = field.node.name().to_string();
    field.node.disconnect(&victim);
    let ping = format!("net_adm:ping('{ours}')");
    field
        .victim
        .wait_until(&ping, PATIENCE, |answer| answer == "pang");

    field.epmd_of_node.restart();
    field.epmd_of_watcher.restart();
    let start = Instant::now();
    let mut back = Vec::new();
    for (own, host) in [("rust", field.lan.machine()), ("w", field.lan.address(2))] {
        let client = Client::new(host, field.epmd_of_node.port);
        let own = Name::new(own).unwrap();
        while client.port_please(&own).await.unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "{own} does not come back");
            sleep(Duration::from_millis(20)).await;
        }
        back.push(start.elapsed());
    }
    alike("registered again", back[0], back[1]);
    assert_eq!(field.victim.eval(&ping), "pong");
}
