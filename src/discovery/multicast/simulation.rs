//! A group of announcers on a network that delays and loses, with a clock of its own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::announcer::{Announcer, Now, boot_id};
use super::codec::{self, Draft, Header, Key, Kind, Mention};
use crate::discovery::Observation;
use crate::name::NodeName;
use crate::secret::Secret;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// 2026-11-21.
const EPOCH: Duration = Duration::from_secs(1_795_249_545);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn key() -> Key {
    Key::derive(&Secret::new("monster"), "")
}

fn node(n: usize) -> NodeName {
    format!("shop-{n}@10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255)
        .parse()
        .unwrap()
}

/// One node of the group.
struct Host {
    announcer: Announcer,
    /// What it learnt: the nodes, and until when they were said to live.
    view: BTreeMap<NodeName, Duration>,
    /// How often each node was said to have started.
    started: HashMap<NodeName, usize>,
    up: bool,
    side: bool,
    skew: i64,
}

/// The group.
struct Net {
    now: Duration,
    hosts: Vec<Host>,
    rng: StdRng,
    loss: f64,
    parted: bool,
    /// Nothing that is sent arrives anywhere.
    unplugged: bool,
    flights: BinaryHeap<Reverse<(Duration, u64, usize, usize)>>,
    wakes: BinaryHeap<Reverse<(Duration, usize)>>,
    datagrams: HashMap<usize, (Rc<Vec<u8>>, usize)>,
    sent: Vec<(Duration, usize)>,
    serial: u64,
}

impl Net {
    fn new(loss: f64, seed: u64) -> Self {
        Self {
            now: secs(1000),
            hosts: Vec::new(),
            rng: StdRng::seed_from_u64(crate::seed::seed(seed)),
            loss,
            parted: false,
            unplugged: false,
            flights: BinaryHeap::new(),
            wakes: BinaryHeap::new(),
            datagrams: HashMap::new(),
            sent: Vec::new(),
            serial: 0,
        }
    }

    fn clock(&self, skew: i64) -> Now {
        Now {
            monotonic: self.now,
            unix: (EPOCH + self.now).saturating_add_signed_secs(skew),
        }
    }

    fn make(&mut self, own: Option<NodeName>, skew: i64) -> Announcer {
        let now = self.clock(skew);
        let boot = boot_id(now, self.rng.random());
        Announcer::new(key(), own, secs(5), boot, self.rng.random(), now)
    }

    /// Starts a node; answers its number.
    fn start(&mut self, own: Option<NodeName>) -> usize {
        self.start_skewed(own, 0)
    }

    fn start_skewed(&mut self, own: Option<NodeName>, skew: i64) -> usize {
        let announcer = self.make(own, skew);
        self.hosts.push(Host {
            announcer,
            view: BTreeMap::new(),
            started: HashMap::new(),
            up: true,
            side: false,
            skew,
        });
        let host = self.hosts.len() - 1;
        self.settle(host);
        host
    }

    fn restart(&mut self, host: usize, own: NodeName, skew: i64) {
        self.hosts[host].announcer = self.make(Some(own), skew);
        self.hosts[host].skew = skew;
        self.hosts[host].view.clear();
        self.hosts[host].up = true;
        self.settle(host);
    }

    fn stop(&mut self, host: usize) {
        let now = self.clock(self.hosts[host].skew);
        self.hosts[host].announcer.stop(now);
        self.settle(host);
    }

    /// Carries out what a host's announcer wants.
    fn settle(&mut self, host: usize) {
        while let Some(datagram) = self.hosts[host].announcer.poll_transmit() {
            self.transmit(host, datagram);
        }
        while let Some(observation) = self.hosts[host].announcer.poll_observation() {
            let at = self.now;
            let host = &mut self.hosts[host];
            match observation {
                Observation::Seen(node, ttl) => {
                    host.view.insert(node, at + ttl);
                }
                Observation::Started(node, ttl) => {
                    *host.started.entry(node.clone()).or_default() += 1;
                    host.view.insert(node, at + ttl);
                }
                Observation::Gone(node) => {
                    host.view.remove(&node);
                }
                other => panic!("an announcer does not say {other:?}"),
            }
        }
        if let Some(at) = self.hosts[host].announcer.next_wake() {
            self.wakes.push(Reverse((at.max(self.now), host)));
        }
    }

    fn transmit(&mut self, from: usize, datagram: Vec<u8>) {
        assert!(datagram.len() <= codec::MAX_DATAGRAM);
        self.sent.push((self.now, datagram.len()));
        if self.unplugged {
            return;
        }
        let id = self.sent.len();
        let mut copies = 0;
        for to in 0..self.hosts.len() {
            let apart = self.parted && self.hosts[to].side != self.hosts[from].side;
            if to == from || apart || !self.hosts[to].up || self.rng.random_bool(self.loss) {
                continue;
            }
            let delay = Duration::from_micros(self.rng.random_range(200..1000));
            self.serial += 1;
            copies += 1;
            self.flights
                .push(Reverse((self.now + delay, self.serial, to, id)));
        }
        if copies > 0 {
            self.datagrams.insert(id, (Rc::new(datagram), copies));
        }
    }

    fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until `done`, for `time` at most; answers how long it took.
    fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        let end = self.now + time;
        let key = key();
        loop {
            if done(self) {
                return self.now - start;
            }
            let flight = self.flights.peek().map(|Reverse((at, ..))| *at);
            let wake = self.wakes.peek().map(|Reverse((at, _))| *at);
            let Some(next) = flight.into_iter().chain(wake).min().filter(|at| *at <= end) else {
                self.now = end;
                return time;
            };
            self.now = next;
            if flight == Some(next) {
                let Some(Reverse((_, _, to, id))) = self.flights.pop() else {
                    unreachable!()
                };
                let (datagram, left) = self.datagrams.get_mut(&id).unwrap();
                let datagram = Rc::clone(datagram);
                *left -= 1;
                if *left == 0 {
                    self.datagrams.remove(&id);
                }
                if self.hosts[to].up {
                    let now = self.clock(self.hosts[to].skew);
                    // Read here with one key for all, instead of by each receiver.
                    let announcement = codec::decode(&key, &datagram).unwrap();
                    self.hosts[to]
                        .announcer
                        .handle_announcement(now, SOURCE, &announcement);
                    self.settle(to);
                }
            } else {
                let Some(Reverse((at, host))) = self.wakes.pop() else {
                    unreachable!()
                };
                // A host is in the queue several times; only its next wake counts.
                if self.hosts[host].up && self.hosts[host].announcer.next_wake() == Some(at) {
                    let now = self.clock(self.hosts[host].skew);
                    self.hosts[host].announcer.handle_wake(now);
                    self.settle(host);
                }
            }
        }
    }

    /// Tells the first `hosts` hosts, in the name of one more member, of the nodes with these numbers.
    fn tell_all(&mut self, hosts: usize, numbers: std::ops::Range<usize>) {
        let key = key();
        let ttl = secs(80_000);
        let mut numbers = numbers.peekable();
        let mut sequence = 0;
        while numbers.peek().is_some() {
            sequence += 1;
            let header = Header {
                kind: Kind::Announce,
                boot: 1,
                sequence,
                time: self.clock(0).unix,
                ttl: secs(1),
                known: u32::MAX,
                name: "teller@nowhere",
            };
            let mut draft = Draft::new(&key, &header);
            while let Some(&number) = numbers.peek() {
                let name = node(number);
                let mention = Mention {
                    boot: 1,
                    remaining: ttl,
                    name: name.as_str(),
                };
                if !draft.mention(&mention) {
                    break;
                }
                numbers.next();
            }
            let datagram = draft.seal();
            let announcement = codec::decode(&key, &datagram).unwrap();
            let now = self.clock(0);
            for host in 0..hosts {
                self.hosts[host]
                    .announcer
                    .handle_announcement(now, SOURCE, &announcement);
                self.settle(host);
            }
        }
        for host in 0..hosts {
            let view = &mut self.hosts[host].view;
            view.retain(|node, _| node.as_str() != "teller@nowhere");
        }
    }

    fn knows(&self, host: usize) -> usize {
        let view = &self.hosts[host].view;
        view.values().filter(|until| **until > self.now).count()
    }

    /// Whether every host that is up knows of `others` others.
    fn all_know(&self, others: usize) -> bool {
        (0..self.hosts.len()).all(|host| !self.hosts[host].up || self.knows(host) == others)
    }

    fn sent_since(&self, since: Duration) -> usize {
        self.sent.iter().filter(|(at, _)| *at >= since).count()
    }
}

trait SignedSeconds {
    fn saturating_add_signed_secs(self, seconds: i64) -> Self;
}

impl SignedSeconds for Duration {
    fn saturating_add_signed_secs(self, seconds: i64) -> Self {
        let by = secs(seconds.unsigned_abs());
        if seconds < 0 {
            self.saturating_sub(by)
        } else {
            self + by
        }
    }
}

/// A group of `n` that has been running for a while.
fn group(n: usize, loss: f64, seed: u64) -> Net {
    let mut net = Net::new(loss, seed);
    for i in 0..n {
        net.start(Some(node(i)));
        net.run(millis(3));
    }
    net.run(secs(20));
    net
}

#[test]
fn two_nodes_know_each_other_within_milliseconds() {
    let mut net = Net::new(0.0, 1);
    net.start(Some(node(0)));
    net.run(secs(7));
    net.start(Some(node(1)));
    let took = net.run_until(secs(10), |net| net.all_know(1));
    assert!(took < millis(5), "{took:?}");
}

#[test]
fn a_late_joiner_learns_all_of_a_small_group_from_few_datagrams() {
    for n in [5, 20] {
        let mut net = group(n, 0.0, 2);
        assert!(net.all_know(n - 1));
        let before = net.sent.len();
        let late = net.start(Some(node(n)));
        let took = net.run_until(secs(10), |net| net.knows(late) == n);
        assert!(took < millis(20), "{n}: {took:?}");
        net.run(millis(45));
        let sent = net.sent.len() - before;
        assert!(sent <= 6, "{n}: {sent} datagrams for one joiner");
        assert!(net.all_know(n));
    }
}

#[test]
fn one_that_only_looks_is_answered_and_not_announced() {
    let mut net = group(5, 0.0, 3);
    let looker = net.start(None);
    let took = net.run_until(secs(10), |net| net.knows(looker) == 5);
    assert!(took < millis(20), "{took:?}");
    net.run(secs(30));
    assert!((0..5).all(|host| net.knows(host) == 4));
    let sent = net.hosts[looker].announcer.counters().sent;
    assert_eq!(sent, 3, "it asks thrice and then listens");
}

#[test]
fn a_goodbye_removes_at_once_and_late_announcements_do_not_bring_back() {
    let mut net = group(5, 0.0, 4);
    let last = net.sent.len();
    net.stop(4);
    net.run(millis(100));
    assert_eq!(net.sent.len() - last, 3, "said thrice");
    assert!((0..4).all(|host| net.knows(host) == 3));
    net.run(secs(120));
    assert!((0..4).all(|host| net.knows(host) == 3));
}

#[test]
fn a_goodbye_that_one_node_missed_reaches_it_by_others() {
    let mut net = group(5, 0.0, 5);
    net.hosts[0].side = true;
    net.parted = true;
    net.stop(4);
    net.run(millis(100));
    net.hosts[4].up = false;
    net.parted = false;
    assert_eq!((net.knows(0), net.knows(1)), (4, 3));
    // It names the one that left, is contradicted, and stops: long before what it heard expires.
    net.run(secs(15));
    assert!((0..4).all(|host| net.knows(host) == 3));
}

#[test]
fn a_crashed_node_expires() {
    let mut net = group(5, 0.3, 6);
    net.hosts[4].up = false;
    net.run(secs(20));
    assert_eq!(net.knows(0), 4, "it is held to live for as long as it said");
    net.run(secs(40));
    assert!((0..4).all(|host| net.knows(host) == 3));
}

#[test]
fn a_restart_without_a_goodbye_is_told_as_a_start() {
    let mut net = group(5, 0.0, 7);
    net.hosts[4].up = false;
    net.run(secs(3));
    let before: Vec<_> = (0..4).map(|h| net.hosts[h].started[&node(4)]).collect();
    net.restart(4, node(4), 0);
    net.run(millis(10));
    for (host, before) in before.iter().enumerate() {
        assert_eq!(net.hosts[host].started[&node(4)], before + 1);
    }
    assert!(net.all_know(4));
}

#[test]
fn a_restart_with_a_clock_that_went_back_is_heard_all_the_same() {
    let mut net = group(5, 0.0, 8);
    net.hosts[4].up = false;
    net.run(secs(3));
    let before = net.hosts[0].started[&node(4)];
    net.restart(4, node(4), -120);
    net.run(millis(100));
    assert_eq!(net.hosts[0].started[&node(4)], before + 1);
    assert!(net.all_know(4));
}

#[test]
fn a_stranger_with_a_wrong_clock_is_counted_and_told_why() {
    let mut net = group(3, 0.0, 9);
    let wrong = net.start_skewed(Some(node(3)), 3600);
    net.run(secs(8));
    assert!((0..3).all(|host| net.knows(host) == 2));
    let counters = net.hosts[0].announcer.counters();
    assert!(counters.clock >= 3, "{counters:?}");
    let now = net.clock(3600);
    let complaint = net.hosts[wrong].announcer.complaint(now).unwrap();
    assert!(
        complaint.contains("3600 s behind this host's clock"),
        "{complaint}"
    );
}

#[test]
fn the_clock_of_a_known_node_may_jump() {
    let mut net = group(3, 0.0, 10);
    net.hosts[2].skew = -86_400;
    net.run(secs(120));
    assert!(net.all_know(2));
}

#[test]
fn a_twin_is_noticed_and_starts_no_race() {
    let mut net = group(3, 0.0, 11);
    let before = net.hosts[2].started.get(&node(1)).copied().unwrap_or(0);
    net.start(Some(node(1)));
    net.run(secs(20));
    let now = net.clock(0);
    let complaint = net.hosts[1].announcer.complaint(now).unwrap();
    assert!(
        complaint.contains("another node announces itself as shop-1@"),
        "{complaint}"
    );
    assert!(net.sent_since(net.now - secs(10)) < 30);
    net.run(secs(100));
    let after = net.hosts[2].started[&node(1)];
    assert_eq!(after, before + 1, "the second of the twins, once");
}

#[test]
fn a_partition_heals_within_two_intervals() {
    let mut net = Net::new(0.1, 12);
    net.parted = true;
    for i in 0..40 {
        net.start(Some(node(i)));
        net.hosts[i].side = i % 2 == 0;
        net.run(millis(3));
    }
    net.run(secs(60));
    assert!(net.all_know(19));
    net.parted = false;
    let took = net.run_until(secs(60), |net| net.all_know(39));
    assert!(took < secs(12), "{took:?}");
}

/// Starts `n` nodes within `n` half milliseconds and waits until all know all.
fn start_together(n: usize) -> Net {
    let mut net = Net::new(0.3, 13);
    for i in 0..n {
        net.start(Some(node(i)));
        net.run(Duration::from_micros(500));
    }
    let since = net.now;
    let mut waited = 0;
    while !net.all_know(n - 1) {
        net.run(secs(5));
        waited += 5;
        assert!(waited <= 120, "not whole after {waited} s");
    }
    let sent = net.sent_since(since);
    println!("{n} nodes, 30% loss: all know all {waited} s after the last start, {sent} datagrams");
    net
}

#[test]
fn two_hundred_nodes_that_start_together_all_know_all_under_loss() {
    start_together(200);
}

/// Minutes without optimisation: `cargo test --release --lib thousand -- --ignored`.
#[test]
#[ignore = "long; the form with 200 nodes always runs"]
fn a_thousand_nodes_that_start_together_all_know_all_under_loss() {
    let mut net = start_together(1000);
    net.run(secs(30));
    let since = net.now;
    net.run(secs(30));
    let rate = 2.0 * net.sent_since(since) as f64 / 30.0;
    assert!(rate < 20.0, "{rate} a second");
    assert!(net.all_know(999));
}

#[test]
fn a_thousand_nodes_answer_one_newcomer_with_a_bounded_number_of_datagrams() {
    let n = 1000;
    let mut net = Net::new(0.1, 15);
    // All are told of all, and settle into the pace of their group, before they can hear each other.
    net.unplugged = true;
    for i in 0..n {
        net.start(Some(node(i)));
    }
    net.tell_all(n, 0..n);
    net.run(secs(170));
    net.unplugged = false;
    assert!(net.all_know(n - 1));
    net.run(secs(1));
    let since = net.now;
    let late = net.start(Some(node(n)));
    net.run(millis(200));
    let (early, known) = (net.sent_since(since), net.knows(late));
    println!("0.2 s after its start the newcomer knows {known} of {n}, from {early} datagrams");
    assert!(early < 60, "{early} datagrams for one newcomer");
    assert!(known > n / 2);
    net.run(secs(5));
    let sent = net.sent_since(since);
    println!(
        "5 s after its start it knows {} of {n}, from {sent} datagrams",
        net.knows(late)
    );
    assert!(sent < 120, "{sent} datagrams for one newcomer");
    assert!(net.knows(late) > n * 9 / 10);
}

/// The rate at which a group sends, from a sample of it to which all the others are known.
fn steady_rate(n: usize) -> f64 {
    let sample = n.min(20);
    let mut net = Net::new(0.0, 14);
    for i in 0..sample {
        net.start(Some(node(i)));
    }
    net.run(secs(1));
    net.tell_all(sample, sample..n);
    let interval = secs(5).max(millis(150) * u32::try_from(n).unwrap());
    net.run(interval * 2);
    assert!(net.hosts[0].announcer.alive() >= n - 1);
    let since = net.now;
    net.run(interval * 10);
    let rate = net.sent_since(since) as f64 / (net.now - since).as_secs_f64();
    rate * n as f64 / sample as f64
}

#[test]
fn the_group_stays_under_20_datagrams_a_second_at_any_size() {
    for n in [1, 5, 100, 1000, 10_000] {
        // Each announcement goes out to two groups, IPv4 and IPv6.
        let rate = 2.0 * steady_rate(n);
        println!("{n} nodes: {rate:.1} datagrams a second");
        assert!(rate < 20.0, "{n} nodes: {rate}");
        assert!(rate > 0.3, "{n} nodes: {rate}");
    }
}
