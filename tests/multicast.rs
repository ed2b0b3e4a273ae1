//! The multicast provider on real sockets: the loopback of this machine, and two network namespaces.

#![cfg(feature = "multicast")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rendez::cluster::ProviderId;
use rendez::discovery::multicast::{
    Counters, GROUP_V4, GROUP_V6, Multicast, MulticastConfig, SharedCounters,
};
use rendez::discovery::{Context, Feed, Observation, Observed, Provider, SignalSender, feed};
use rendez::{NodeName, Secret};
use socket2::{Domain, Socket, Type};
use support::{Lan, alone, free_udp_port};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Far beyond what anything here takes; no test depends on it being tight.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a flood goes on whose end does not come.
const FLOODED: Duration = Duration::from_secs(20);

/// A provider at work.
struct Peer {
    heard: mpsc::Receiver<Observed>,
    signals: SignalSender,
    counters: SharedCounters,
    running: JoinHandle<()>,
    view: BTreeMap<NodeName, ()>,
    errors: Vec<String>,
    started: Vec<NodeName>,
}

impl Peer {
    fn start(config: &MulticastConfig, own: Option<&str>) -> Self {
        let context = Context {
            own: own.map(name),
            cookie: Some(Secret::new("monster")),
        };
        let provider = Multicast::new(config.clone(), &context).unwrap();
        let counters = provider.counters();
        let (sender, heard) = mpsc::channel(64);
        let signals = SignalSender::new();
        let feed: Feed = feed(ProviderId::new(0).unwrap(), sender, &signals);
        Self {
            heard,
            signals,
            counters,
            running: tokio::spawn(Box::new(provider).run(feed)),
            view: BTreeMap::new(),
            errors: Vec::new(),
            started: Vec::new(),
        }
    }

    fn take(&mut self, observation: Observation) {
        match observation {
            Observation::Seen(node, ttl) => {
                assert!(ttl >= Duration::from_secs(1));
                self.view.insert(node, ());
            }
            Observation::Started(node, ttl) => {
                assert!(ttl >= Duration::from_secs(1));
                self.started.push(node.clone());
                self.view.insert(node, ());
            }
            Observation::Gone(node) => {
                self.view.remove(&node);
            }
            Observation::Failed(error) => self.errors.push(error),
            Observation::Snapshot(_) | Observation::Ports(_) | Observation::Notice(_) => {
                panic!("announcements are no complete answer")
            }
        }
    }

    /// Follows what it says until `done`, and answers after how long that was.
    async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            let next = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
            let Ok(Some(observed)) = next else {
                panic!(
                    "{what}: it does not come; known: {:?}, errors: {:?}, {:?}",
                    self.names(),
                    self.errors,
                    self.counters.get()
                );
            };
            self.take(observed.observation);
        }
        start.elapsed()
    }

    async fn knows(&mut self, others: usize) -> Duration {
        self.until(&format!("{others} others"), |peer| {
            peer.view.len() == others
        })
        .await
    }

    fn names(&self) -> Vec<&str> {
        self.view.keys().map(NodeName::as_str).collect()
    }

    async fn stop(mut self) -> Counters {
        self.signals.stop();
        // Whoever still has something to say is not kept from it.
        self.heard.close();
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .expect("a provider returns when it is told to stop")
            .unwrap();
        self.counters.get()
    }
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

/// A configuration for the loopback of this machine, with a port of its own.
fn loopback() -> MulticastConfig {
    MulticastConfig {
        multicast_addr: vec![GROUP_V4.into()],
        port: free_udp_port(),
        interface: vec!["127.0.0.1".parse().unwrap()],
        ..MulticastConfig::default()
    }
}

#[tokio::test]
async fn five_providers_share_a_port_and_a_late_joiner_learns_all() {
    let config = loopback();
    let mut peers = Vec::new();
    for i in 0..5 {
        peers.push(Peer::start(&config, Some(&format!("n{i}@127.0.0.1"))));
    }
    for peer in &mut peers {
        peer.knows(4).await;
        assert!(peer.errors.is_empty(), "{:?}", peer.errors);
    }
    let mut late = Peer::start(&config, Some("late@127.0.0.1"));
    let took = late.knows(5).await;
    println!("a late joiner learnt of 5 others after {took:?}");
    for peer in &mut peers {
        peer.knows(5).await;
        assert!(peer.names().contains(&"late@127.0.0.1"));
    }

    // It stops: all hear its goodbye.
    let counters = late.stop().await;
    assert!(
        counters.own > 0 && counters.send_errors == 0,
        "{counters:?}"
    );
    for peer in &mut peers {
        peer.knows(4).await;
    }

    // It is back, a new boot.
    let back = Peer::start(&config, Some("late@127.0.0.1"));
    for peer in &mut peers {
        let before = peer.started.len();
        peer.until("its return", |peer| peer.started.len() > before)
            .await;
    }
    back.stop().await;
    for peer in peers {
        peer.stop().await;
    }
}

#[tokio::test]
async fn one_that_only_looks_learns_all_and_is_not_announced() {
    let config = loopback();
    let mut a = Peer::start(&config, Some("a@127.0.0.1"));
    let mut b = Peer::start(&config, Some("b@127.0.0.1"));
    a.knows(1).await;
    b.knows(1).await;
    let mut looker = Peer::start(&config, None);
    looker.knows(2).await;
    looker.stop().await;
    assert_eq!(
        (a.names(), b.names()),
        (vec!["b@127.0.0.1"], vec!["a@127.0.0.1"])
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn clusters_and_secrets_keep_apart_and_say_so() {
    let config = loopback();
    let other_secret = MulticastConfig {
        secret: Some(Secret::new("another")),
        ..config.clone()
    };
    let other_cluster = MulticastConfig {
        cluster: Some("blue".into()),
        ..config.clone()
    };
    let mut a = Peer::start(&config, Some("a@127.0.0.1"));
    let mut b = Peer::start(&other_secret, Some("b@127.0.0.1"));
    let c = Peer::start(&other_cluster, Some("c@127.0.0.1"));
    for peer in [&mut a, &mut b] {
        peer.until("a complaint", |peer| !peer.errors.is_empty())
            .await;
        assert!(
            peer.errors[0].contains("another secret"),
            "{:?}",
            peer.errors
        );
        assert!(peer.view.is_empty());
    }
    // What was complained of came from `b`; what `c` says may still be on its way.
    let start = Instant::now();
    loop {
        let counters = a.counters.get();
        if counters.forged > 0 && counters.other_cluster > 0 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{counters:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for peer in [a, b, c] {
        peer.stop().await;
    }
}

#[tokio::test]
async fn ipv6_on_the_loopback() {
    let config = MulticastConfig {
        multicast_addr: vec![GROUP_V6.into()],
        interface: vec!["::1".parse().unwrap()],
        ..loopback()
    };
    let mut a = Peer::start(&config, Some("a@::1"));
    let mut b = Peer::start(&config, Some("b@::1"));
    tokio::select! {
        _ = a.knows(1) => { b.knows(1).await; }
        _ = b.until("an error", |peer| !peer.errors.is_empty()) => {
            println!("SKIPPED: no IPv6 multicast on the loopback here: {}", b.errors[0]);
        }
    }
    a.stop().await;
    b.stop().await;
}

/// Sends to the group from the loopback, and hears it: somebody else on the same wire.
struct Stranger {
    listens: UdpSocket,
    sends: UdpSocket,
    to: SocketAddr,
}

impl Stranger {
    fn new(port: u16) -> Self {
        let listens = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        listens.set_reuse_address(true).unwrap();
        listens
            .bind(&SocketAddr::new(GROUP_V4.into(), port).into())
            .unwrap();
        listens
            .join_multicast_v4(&GROUP_V4, &Ipv4Addr::LOCALHOST)
            .unwrap();
        listens.set_read_timeout(Some(PATIENCE)).unwrap();
        let sends = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        sends.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        Self {
            listens: listens.into(),
            sends: sends.into(),
            to: SocketAddr::new(GROUP_V4.into(), port),
        }
    }

    /// The next datagrams of the group.
    fn capture(&self, count: usize) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2048];
        (0..count)
            .map(|_| {
                let length = self.listens.recv(&mut buffer).unwrap();
                buffer[..length].to_vec()
            })
            .collect()
    }

    fn send(&self, datagram: &[u8]) {
        // A full buffer is part of a flood.
        let _ = self.sends.send_to(datagram, self.to);
    }
}

/// The `n`th datagram of a flood made of what was captured.
fn hostile(n: u64, captured: &[Vec<u8>]) -> Vec<u8> {
    let index = usize::try_from(n / 4).unwrap() % captured.len();
    let mut datagram = captured[index].clone();
    match n % 4 {
        // Forged: a boot of its own, under a name of its own, so that believing it would show.
        0 => {
            datagram[16..24].copy_from_slice(&n.to_be_bytes());
            let at = datagram.len() - 33;
            datagram[at] ^= 1;
        }
        // Truncated: somewhere in the header, or in what follows it.
        1 => {
            let length = usize::try_from(n).unwrap() % datagram.len();
            datagram.truncate(length);
        }
        // Oversized.
        2 => datagram.resize(1201 + usize::try_from(n).unwrap() % 8000, 0),
        // Replayed, as it was.
        _ => {}
    }
    datagram
}

/// The resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_hostile_datagrams_costs_nothing_and_a_real_node_joins_through_it() {
    const FLOOD: u64 = 100_000;
    // It measures the memory of its process.
    if !alone("a_flood_of_hostile_datagrams_costs_nothing_and_a_real_node_joins_through_it") {
        return;
    }
    let config = loopback();
    let stranger = Stranger::new(config.port);
    let mut a = Peer::start(&config, Some("a@127.0.0.1"));
    let mut b = Peer::start(&config, Some("b@127.0.0.1"));
    a.knows(1).await;
    b.knows(1).await;
    let captured = stranger.capture(4);

    let before = resident();
    let sent = Arc::new(AtomicU64::new(0));
    let joined = Arc::new(AtomicBool::new(false));
    let flood = std::thread::spawn({
        let (sent, joined) = (Arc::clone(&sent), Arc::clone(&joined));
        move || {
            let mut n = 0;
            // At full speed until the join is through, at least so many, at most for a while.
            let start = Instant::now();
            while n < FLOOD || (!joined.load(Ordering::Relaxed) && start.elapsed() < FLOODED) {
                stranger.send(&hostile(n, &captured));
                n += 1;
                sent.store(n, Ordering::Relaxed);
            }
            start.elapsed()
        }
    });
    while sent.load(Ordering::Relaxed) < FLOOD / 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut late = Peer::start(&config, Some("late@127.0.0.1"));
    let took = late.knows(2).await;
    a.knows(2).await;
    b.knows(2).await;
    let during = sent.load(Ordering::Relaxed);
    joined.store(true, Ordering::Relaxed);
    let flooded = flood.join().unwrap();
    let sent = sent.load(Ordering::Relaxed);
    println!(
        "{sent} hostile datagrams in {flooded:?}; the join took {took:?} and was through after {during} of them"
    );
    let grown = resident().saturating_sub(before);
    println!("resident memory grew by {grown} KiB");
    assert!(grown < 16 * 1024, "{grown} KiB");

    for (peer, others) in [
        (&a, ["b@127.0.0.1", "late@127.0.0.1"]),
        (&b, ["a@127.0.0.1", "late@127.0.0.1"]),
    ] {
        assert_eq!(peer.names(), others);
        assert!(peer.errors.is_empty(), "{:?}", peer.errors);
    }
    let counters = a.counters.get();
    println!("{counters:?}");
    // What is replayed within a second of the last announcement of its sender counts as the copy that
    // another interface brings, so which of the two it is hangs on when the flood met the steady beat.
    // To its own sender it is neither, and what was captured may come of one sender alone.
    let replayed = [counters, b.counters.get()]
        .map(|heard| heard.replayed + heard.duplicate)
        .iter()
        .sum();
    for (cause, count) in [
        ("forged", counters.forged),
        ("truncated", counters.truncated),
        ("oversized", counters.oversized),
        ("foreign", counters.foreign),
        ("replayed", replayed),
    ] {
        assert!(count > 10, "{cause}: {counters:?}");
    }
    assert_eq!((counters.malformed, counters.full), (0, 0), "{counters:?}");
    for peer in [a, b, late] {
        peer.stop().await;
    }
}

/// Says which test process is to be a host in a network namespace: its node name.
const HOST: &str = "RENDEZ_TEST_MULTICAST_HOST";

/// No test of its own: what the two tests below run in each namespace. It says what it hears.
#[tokio::test]
async fn a_host_in_a_namespace() {
    let Ok(own) = std::env::var(HOST) else {
        return;
    };
    let groups = std::env::var("RENDEZ_TEST_MULTICAST_GROUP").unwrap();
    let config = MulticastConfig {
        multicast_addr: vec![groups.parse().unwrap()],
        interface: vec!["eth0".parse().unwrap()],
        ..MulticastConfig::default()
    };
    let start = Instant::now();
    let mut peer = Peer::start(&config, Some(&own));
    while let Some(observed) = peer.heard.recv().await {
        // The test that started this process reads these lines.
        println!("HEARD {:?} {:?}", start.elapsed(), observed.observation);
    }
}

/// A process in a namespace, which ends with the test.
struct Hosted {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Hosted {
    fn start(lan: &Lan, number: u8, group: &str) -> Self {
        let enter = lan.enter(number);
        let mut child = Command::new(enter[0])
            .args(&enter[1..])
            .arg(std::env::current_exe().unwrap())
            .args(["a_host_in_a_namespace", "--exact", "--nocapture"])
            .env(HOST, format!("host{number}@{}", lan.address(number)))
            .env("RENDEZ_TEST_MULTICAST_GROUP", group)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line with all of `words`.
    fn hears(&self, words: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{words:?} is not heard; it said {said:?}");
            };
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            said.push(line);
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_hosts_find_each_other_through_30_percent_loss() {
    let Some(lan) = Lan::new(2, "multicast between two hosts under loss") else {
        return;
    };
    if let Err(why) = lan.lose(30) {
        eprintln!("SKIPPED: multicast between two hosts under loss: {why}");
        return;
    }
    for group in [GROUP_V4.to_string(), GROUP_V6.to_string()] {
        let first = Hosted::start(&lan, 1, &group);
        std::thread::sleep(Duration::from_millis(500));
        let second = Hosted::start(&lan, 2, &group);
        let heard = second.hears(&["Started", "host1@"]);
        println!("{group}: the later host says: {heard}");
        first.hears(&["Started", "host2@"]);
    }
}

#[test]
fn an_interface_that_comes_later_is_used() {
    let Some(lan) = Lan::new(2, "multicast on an interface that comes later") else {
        return;
    };
    let set = |state: &str| {
        let enter = lan.enter(2);
        let done = Command::new(enter[0])
            .args(&enter[1..])
            .args(["ip", "link", "set", "eth0", state])
            .status()
            .unwrap();
        assert!(done.success());
    };
    set("down");
    let group = GROUP_V4.to_string();
    let first = Hosted::start(&lan, 1, &group);
    let second = Hosted::start(&lan, 2, &group);
    let line = second.hears(&["Failed", "eth0 is not there, or is down"]);
    println!("{line}");
    set("up");
    second.hears(&["Started", "host1@"]);
    first.hears(&["Started", "host2@"]);
}
