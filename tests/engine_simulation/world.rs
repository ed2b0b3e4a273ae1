//! A cluster in one process: engines and announcers, a network that delays and loses, and a clock that
//! goes from one thing that happens to the next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rendez::cluster::{Action, ConnectError, Engine, Event, Input, NodeState, Policy, ProviderId};
use rendez::discovery::Observation;
use rendez::discovery::multicast::announcer::{Announcer, Now, boot_id};
use rendez::discovery::multicast::codec::{self, Key};
use rendez::{NodeName, Secret};

/// When the simulation begins, by the clocks that announcements carry.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The interval of announcements in a small group; the default of the provider.
const INTERVAL: Duration = Duration::from_secs(5);
/// What a datagram needs, least and most.
const FLIGHT: (Duration, Duration) = (Duration::from_micros(200), Duration::from_micros(1_000));
/// A datagram reaches its receivers in so many waves, not all at one moment.
const WAVES: usize = 4;
/// A look-up in EPMD, a handshake.
const HANDSHAKE: Duration = Duration::from_millis(2);
/// `net_setuptime`: after that an attempt at a node behind a cut link fails.
const SETUP_TIME: Duration = Duration::from_secs(7);
/// `net_ticktime`: after that a connection over a cut link is gone.
const TICK_TIME: Duration = Duration::from_secs(60);

/// What happens at some moment.
enum What {
    /// A datagram reaches some of those who listen.
    Arrive {
        from: usize,
        wave: usize,
        datagram: Rc<Vec<u8>>,
    },
    Wake {
        host: usize,
    },
    /// An attempt to connect is decided.
    Handshake {
        from: Life,
        to: usize,
    },
    /// A connection over a cut link runs out.
    Tick {
        hosts: (Life, Life),
    },
    /// A node notices that its peer is gone.
    Closed {
        host: Life,
        peer: usize,
    },
    Stop {
        host: usize,
        goodbye: bool,
    },
    Start {
        host: usize,
    },
}

/// A node from its start to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Life {
    host: usize,
    number: u32,
}

struct Moment {
    at: Duration,
    order: u64,
    what: What,
}

impl Moment {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.order)
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

struct Host {
    life: Life,
    up: bool,
    /// Which side of a cut it is on.
    side: bool,
    engine: Engine,
    announcer: Announcer,
    /// When it is next woken; other wakes of it are out of date.
    wake_at: Duration,
    started: Duration,
    /// With whom it has a connection.
    links: Vec<bool>,
    /// Nodes that are named and connected, by what the events say.
    named: usize,
    connected: usize,
}

pub struct World {
    pub now: Duration,
    /// How many datagrams were sent.
    pub sent: usize,
    /// How many attempts to connect were made.
    pub attempts: usize,
    names: Vec<NodeName>,
    hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<Moment>>,
    order: u64,
    rng: SmallRng,
    key: Key,
    loss: f64,
    cut: bool,
}

fn provider() -> ProviderId {
    ProviderId::new(0).unwrap()
}

fn refused(reason: &str) -> ConnectError {
    ConnectError {
        reason: reason.into(),
        message: reason.into(),
    }
}

impl World {
    /// `size` nodes that start evenly within `over`, on a network that loses that share of all datagrams.
    pub fn new(size: usize, over: Duration, loss: f64) -> Self {
        let name = |i: usize| {
            format!("n{i}@10.0.{}.{}", i / 250, i % 250)
                .parse()
                .unwrap()
        };
        let mut world = Self {
            now: Duration::ZERO,
            sent: 0,
            attempts: 0,
            names: (0..size).map(name).collect(),
            hosts: Vec::new(),
            queue: BinaryHeap::new(),
            order: 0,
            rng: SmallRng::seed_from_u64(crate::seed::seed(5)),
            key: Key::derive(&Secret::new("a cookie"), ""),
            loss,
            cut: false,
        };
        for host in 0..size {
            let number = u32::try_from(host).unwrap();
            let made = world.host(host, 0);
            world.hosts.push(made);
            let at = over * number / u32::try_from(size).unwrap();
            world.at(at, What::Start { host });
        }
        world
    }

    fn host(&mut self, host: usize, number: u32) -> Host {
        let own = self.names[host].clone();
        let seed = self.rng.random();
        let (now, random) = (self.clock(), self.rng.random());
        let key = self.key.clone();
        Host {
            life: Life { host, number },
            up: false,
            side: host.is_multiple_of(2),
            engine: Engine::new(Some(own.clone()), Policy::default(), seed),
            announcer: Announcer::new(key, Some(own), INTERVAL, boot_id(now, random), seed, now),
            wake_at: Duration::MAX,
            started: self.now,
            links: vec![false; self.names.len()],
            named: 0,
            connected: 0,
        }
    }

    fn clock(&self) -> Now {
        Now {
            monotonic: self.now,
            unix: EPOCH + self.now,
        }
    }

    fn at(&mut self, at: Duration, what: What) {
        let order = self.order;
        self.order += 1;
        self.queue.push(Reverse(Moment { at, order, what }));
    }

    /// Stops a node after a time, with a goodbye or without, and starts it again after a second one.
    pub fn restart(&mut self, host: usize, after: Duration, goodbye: bool, pause: Duration) {
        self.at(self.now + after, What::Stop { host, goodbye });
        self.at(self.now + after + pause, What::Start { host });
    }

    /// Cuts the network in two, or mends it.
    pub fn cut(&mut self, cut: bool) {
        self.cut = cut;
        for from in 0..self.hosts.len() {
            for to in 0..from {
                if self.hosts[from].links[to] && self.apart(from, to) {
                    let hosts = (self.hosts[from].life, self.hosts[to].life);
                    let after = TICK_TIME.mul_f64(self.rng.random_range(0.75..1.25));
                    self.at(self.now + after, What::Tick { hosts });
                }
            }
        }
    }

    fn apart(&self, a: usize, b: usize) -> bool {
        self.cut && self.hosts[a].side != self.hosts[b].side
    }

    /// Lets time pass until `done`, at most until `limit` has passed; how long it took, if it was done.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let (began, end) = (self.now, self.now + limit);
        // Asking after every moment would be most of the work.
        let step = Duration::from_millis(10);
        let mut ask_at = self.now;
        while let Some(Reverse(next)) = self.queue.peek() {
            if next.at > end {
                break;
            }
            if next.at >= ask_at {
                ask_at = next.at + step;
                if done(self) {
                    return Some(self.now - began);
                }
            }
            let Some(Reverse(Moment { at, what, .. })) = self.queue.pop() else {
                break;
            };
            self.now = at;
            self.happen(what);
        }
        self.now = end;
        done(self).then(|| end - began)
    }

    pub fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrive {
                from,
                wave,
                datagram,
            } => self.arrive(from, wave, &datagram),
            What::Wake { host } => {
                if self.hosts[host].up && self.hosts[host].wake_at == self.now {
                    self.hosts[host].wake_at = Duration::MAX;
                    let now = self.clock();
                    self.hosts[host].announcer.handle_wake(now);
                    self.tell(host, Input::Wake);
                }
            }
            What::Handshake { from, to } => self.handshake(from, to),
            What::Tick { hosts: (a, b) } => {
                if self.lives(a) && self.lives(b) && self.apart(a.host, b.host) {
                    self.close(a, b.host);
                    self.close(b, a.host);
                }
            }
            What::Closed { host, peer } => self.close(host, peer),
            What::Stop { host, goodbye } => self.stop(host, goodbye),
            What::Start { host } => {
                let number = self.hosts[host].life.number + 1;
                self.hosts[host] = self.host(host, number);
                self.hosts[host].up = true;
                self.settle(host);
            }
        }
    }

    fn lives(&self, life: Life) -> bool {
        self.hosts[life.host].up && self.hosts[life.host].life == life
    }

    fn stop(&mut self, host: usize, goodbye: bool) {
        if goodbye {
            let now = self.clock();
            self.hosts[host].announcer.stop(now);
            while let Some(datagram) = self.hosts[host].announcer.poll_transmit() {
                self.send(host, datagram);
            }
        }
        self.hosts[host].up = false;
        for peer in 0..self.hosts.len() {
            if std::mem::take(&mut self.hosts[host].links[peer]) {
                let life = self.hosts[peer].life;
                let closed = What::Closed {
                    host: life,
                    peer: host,
                };
                self.at(self.now + FLIGHT.1, closed);
            }
        }
    }

    fn close(&mut self, host: Life, peer: usize) {
        if self.lives(host) && std::mem::take(&mut self.hosts[host.host].links[peer]) {
            let node = self.names[peer].clone();
            self.tell(host.host, Input::Down { node, reason: None });
        }
    }

    fn send(&mut self, from: usize, datagram: Vec<u8>) {
        self.sent += 1;
        let datagram = Rc::new(datagram);
        for wave in 0..WAVES {
            let delay = self.rng.random_range(FLIGHT.0..FLIGHT.1);
            let datagram = Rc::clone(&datagram);
            let arrive = What::Arrive {
                from,
                wave,
                datagram,
            };
            self.at(self.now + delay, arrive);
        }
    }

    fn arrive(&mut self, from: usize, wave: usize, datagram: &[u8]) {
        // Every receiver would do the same with the same key; here it is done once.
        let key = self.key.clone();
        let announcement = codec::decode(&key, datagram).expect("an announcement of ours");
        let now = self.clock();
        for to in (wave..self.hosts.len()).step_by(WAVES) {
            let heard = to != from && self.hosts[to].up && !self.apart(from, to);
            if heard && !self.rng.random_bool(self.loss) {
                let announcer = &mut self.hosts[to].announcer;
                announcer.handle_announcement(now, SOURCE, &announcement);
                self.settle(to);
            }
        }
    }

    fn handshake(&mut self, from: Life, to: usize) {
        if !self.lives(from) {
            return;
        }
        let node = self.names[to].clone();
        let result = if self.apart(from.host, to) {
            Err(refused("timeout"))
        } else if !self.hosts[to].up {
            Err(refused("refused"))
        } else if self.hosts[to].links[from.host] && !self.hosts[from.host].links[to] {
            // The other side has not noticed yet that the connection to our earlier life is gone.
            Err(refused("alive"))
        } else {
            if !std::mem::replace(&mut self.hosts[from.host].links[to], true) {
                self.hosts[to].links[from.host] = true;
                let own = self.names[from.host].clone();
                self.tell(from.host, Input::Up { node: node.clone() });
                self.tell(to, Input::Up { node: own });
            }
            Ok(())
        };
        self.tell(from.host, Input::ConnectResult { node, result });
    }

    fn tell(&mut self, host: usize, input: Input) {
        self.hosts[host].engine.handle(self.now, input);
        self.settle(host);
    }

    /// Carries out what a node's announcer and engine want, as a driver does.
    fn settle(&mut self, host: usize) {
        while let Some(observation) = self.hosts[host].announcer.poll_observation() {
            let provider = provider();
            let input = match observation {
                Observation::Seen(node, ttl) => Input::Seen {
                    provider,
                    node,
                    ttl,
                },
                Observation::Started(node, ttl) => Input::Started {
                    provider,
                    node,
                    ttl,
                },
                Observation::Gone(node) => Input::Gone { provider, node },
                other => panic!("an announcer does not say {other:?}"),
            };
            self.hosts[host].engine.handle(self.now, input);
        }
        while let Some(action) = self.hosts[host].engine.poll_action() {
            match action {
                Action::Connect(node) => self.connect(host, &node),
                Action::Disconnect(node) => panic!("disconnects {node}, though it is to keep"),
                Action::Event(Event::Discovered { .. }) => self.hosts[host].named += 1,
                Action::Event(Event::Withdrawn { .. }) => self.hosts[host].named -= 1,
                Action::Event(Event::Joined { .. }) => self.hosts[host].connected += 1,
                Action::Event(Event::Left { .. }) => self.hosts[host].connected -= 1,
                Action::Event(_) => {}
            }
        }
        while let Some(datagram) = self.hosts[host].announcer.poll_transmit() {
            self.send(host, datagram);
        }
        let (announcer, engine) = (&self.hosts[host].announcer, &self.hosts[host].engine);
        let wakes = [announcer.next_wake(), engine.next_wake()];
        if let Some(wake) = wakes.into_iter().flatten().min() {
            let wake = wake.max(self.now);
            if wake < self.hosts[host].wake_at {
                self.hosts[host].wake_at = wake;
                self.at(wake, What::Wake { host });
            }
        }
    }

    fn connect(&mut self, host: usize, node: &NodeName) {
        self.attempts += 1;
        let to: usize = node.name()[1..].parse().unwrap();
        assert_ne!(host, to, "connects to itself");
        let takes = if self.apart(host, to) {
            SETUP_TIME
        } else {
            HANDSHAKE.mul_f64(self.rng.random_range(0.5..1.5))
        };
        let from = self.hosts[host].life;
        self.at(self.now + takes, What::Handshake { from, to });
    }

    fn living(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.up)
    }

    /// Whether all nodes live, know all others and are connected to them, and to nobody else.
    pub fn is_whole(&self) -> bool {
        let others = self.hosts.len() - 1;
        self.hosts
            .iter()
            .all(|host| host.up && host.named == others && host.connected == others)
    }

    /// Whether every living node knows and is connected to just those that live on its side.
    pub fn is_parted(&self) -> bool {
        self.living().all(|host| {
            let others = self.living().filter(|h| h.side == host.side).count() - 1;
            host.named == others && host.connected == others
        })
    }

    /// How many of the nodes that started within the last `within` are not connected to all who live.
    pub fn joining(&self, within: Duration) -> usize {
        let others = self.living().count() - 1;
        self.living()
            .filter(|host| self.now - host.started <= within && host.connected < others)
            .count()
    }

    /// Compares what the engines know with what is so: with the links, with who lives.
    pub fn check(&self) {
        for host in self.living() {
            host.engine.check_consistency().unwrap();
            let mut connected = 0;
            for view in host.engine.nodes() {
                let peer: usize = view.node.name()[1..].parse().unwrap();
                let is_connected = matches!(view.state, NodeState::Connected { .. });
                assert_eq!(host.links[peer], is_connected, "{}", view.node);
                assert_eq!(self.hosts[peer].links[host.life.host], is_connected);
                connected += usize::from(is_connected);
            }
            assert_eq!(connected, host.connected);
        }
    }
}
