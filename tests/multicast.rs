//! The multicast provider on real sockets: the loopback of this machine, and two network namespaces.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use rendez::cluster::ProviderId;
use rendez::discovery::multicast::{
    Counters, GROUP_V4, GROUP_V6, Multicast, MulticastConfig, SharedCounters,
};
use rendez::discovery::{Context, Feed, Observation, Observed, Provider, SignalSender, feed};
use rendez::{NodeName, Secret};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Far beyond what anything here takes; no test depends on it being tight.
const PATIENCE: Duration = Duration::from_secs(30);

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
            Observation::Snapshot(_) => panic!("announcements are no complete answer"),
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
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    MulticastConfig {
        multicast_addr: vec![GROUP_V4.into()],
        port: socket.local_addr().unwrap().port(),
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
    let counters = a.counters.get();
    assert!(
        counters.forged > 0 && counters.other_cluster > 0,
        "{counters:?}"
    );
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
