//! Peers are the nodes that are registered with EPMD on any host of some networks.
//!
//! A scan tries every address once ([`scan`]); the hosts that take a connection are asked as the provider
//! [`epmd`](super::epmd) asks its own, often. The whole range is tried again seldom.

pub mod range;
pub mod scan;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::epmd::{Asked, Epmd};
use super::polling::{KEEP_FOR, jitter};
use super::{Context, Feed, Observation, Provider, Running, Signal};
use crate::epmd::port_from_env;
use crate::name::NodeName;
use range::{Cidr, MAX_ADDRESSES};
use scan::{Event, Limits, Report};

/// A refresh does not begin a scan sooner than this after the last one.
const REST: Duration = Duration::from_secs(30);

/// The wait after the first of several scans that could not try every address.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);

/// A host is forgotten when that many whole scans in a row found nothing there.
const MISSES: u8 = 2;

/// Which networks, and how hard to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetConfig {
    /// The networks; together at most [`MAX_ADDRESSES`].
    pub cidr: Vec<Cidr>,
    /// The port of EPMD; `None` for `ERL_EPMD_PORT`, else 4369.
    pub port: Option<u16>,
    /// The bounds of a scan.
    pub limits: Limits,
    /// The time between two looks at the hosts that were found.
    pub interval: Duration,
    /// How long a name is kept that the answers leave out. Default: [`KEEP_FOR`].
    pub keep_for: Duration,
    /// How long EPMD on such a host may take to answer one question.
    pub timeout: Duration,
    /// The time between the end of a scan and the next.
    pub rescan_interval: Duration,
}

impl SubnetConfig {
    /// These networks: a host that was found is asked every 5 s, the whole range is tried every 10 minutes.
    pub fn new(cidr: impl IntoIterator<Item = Cidr>) -> Self {
        Self {
            cidr: cidr.into_iter().collect(),
            port: None,
            limits: Limits::default(),
            interval: Duration::from_secs(5),
            keep_for: KEEP_FOR,
            timeout: Duration::from_secs(2),
            rescan_interval: Duration::from_secs(600),
        }
    }

    /// All addresses, each once, in order.
    ///
    /// # Errors
    /// A sentence for the user if there are none or too many.
    pub fn addresses(&self) -> Result<Vec<IpAddr>, String> {
        let all: u64 = self.cidr.iter().map(Cidr::len).sum();
        if all > MAX_ADDRESSES {
            return Err(format!(
                "cidr: together they have {all} addresses, and a scan takes at most {MAX_ADDRESSES}, a /16; name \
                 the subnets that hold nodes"
            ));
        }
        let mut addresses: Vec<IpAddr> = self.cidr.iter().flat_map(Cidr::hosts).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err("cidr is empty; name at least one network, such as 10.0.0.0/24".into());
        }
        Ok(addresses)
    }

    /// How long the first answer can take: a scan in which no address answers, and two questions to EPMD.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let all = self.cidr.iter().map(Cidr::len).sum();
        self.limits.longest(all) + self.timeout * 2
    }
}

/// Scans networks and asks the hosts that were found.
///
/// Until the first scan is through, each node is told when it is found. After that there is a complete answer
/// at every look. A host that stops answering keeps the nodes that it named, until two whole scans in a row
/// find nothing at its address. What takes connections on EPMD's port and does not answer as EPMD does is left
/// alone until the next scan.
#[derive(Debug)]
pub struct Subnet {
    addresses: Vec<IpAddr>,
    port: u16,
    config: SubnetConfig,
    hosts: Epmd,
    /// The whole scans in a row that found nothing at a host.
    missed: HashMap<String, u8>,
    /// Every address was tried once.
    complete: bool,
    /// Why the last scan could not try every address.
    trouble: Option<String>,
    told: Told,
}

/// What was passed on.
#[derive(Debug, Default)]
struct Told {
    nodes: Vec<NodeName>,
    trouble: Option<String>,
    /// There was a complete answer.
    whole: bool,
}

impl Subnet {
    /// Makes the provider.
    ///
    /// # Errors
    /// A sentence for the user if there are too many addresses, the own node has a short name, or
    /// `ERL_EPMD_PORT` is needed and is no port.
    pub fn new(config: &SubnetConfig, context: &Context) -> Result<Self, String> {
        if let Some(own) = context.own.as_ref().filter(|own| !own.is_long()) {
            return Err(format!(
                "it finds nodes whose hosts are addresses, and {own} has a short name, which cannot connect to \
                 them; start it with -name {}@ADDRESS",
                own.name()
            ));
        }
        let port = match config.port {
            Some(port) => port,
            None => port_from_env().map_err(|error| error.to_string())?,
        };
        Ok(Self {
            addresses: config.addresses()?,
            port,
            hosts: Epmd::without_hosts(Some(port), config.timeout, context.own.clone())?,
            config: config.clone(),
            missed: HashMap::new(),
            complete: false,
            trouble: None,
            told: Told::default(),
        })
    }

    async fn work(mut self, mut feed: Feed) {
        let now = Instant::now();
        let mut scanning = Some(self.begin());
        let mut scanned = now;
        let mut next_scan = now;
        let mut next_look = now + self.config.interval;
        let mut backoff = FIRST_BACKOFF;
        loop {
            let mut round_over = false;
            tokio::select! {
                signal = feed.signal() => match signal {
                    Signal::Stop => return,
                    Signal::Refresh => {
                        next_look = Instant::now();
                        if scanned.elapsed() >= REST {
                            next_scan = next_look;
                        }
                    }
                },
                news = news(&mut scanning) => match news {
                    News::Found(address) => {
                        self.hosts.add(&address.to_string());
                    }
                    News::Ended(report) => {
                        scanning = None;
                        scanned = Instant::now();
                        let wait = if report.untried == 0 {
                            backoff = FIRST_BACKOFF;
                            self.config.rescan_interval
                        } else {
                            let wait = backoff.min(self.config.rescan_interval);
                            backoff = wait * 2;
                            wait
                        };
                        next_scan = scanned + jitter(wait, rand::random());
                        self.ended(&report);
                        round_over = self.hosts.is_idle();
                    }
                },
                () = self.hosts.step() => {
                    self.hosts.drop_strangers();
                    round_over = self.hosts.is_idle();
                }
                () = sleep_until(next_look) => {
                    next_look = Instant::now() + jitter(self.config.interval, rand::random());
                    self.hosts.ask();
                    round_over = self.hosts.is_idle();
                }
                () = sleep_until(next_scan), if scanning.is_none() => scanning = Some(self.begin()),
            }
            self.tell(&feed, round_over).await;
        }
    }

    /// Begins a scan, at an address of its own, so that nodes which start together do not knock at the same
    /// doors together.
    fn begin(&self) -> Scanning {
        let (sender, news) = mpsc::unbounded_channel();
        let mut addresses = self.addresses.clone();
        let middle = rand::random_range(0..addresses.len());
        addresses.rotate_left(middle);
        let (limits, port) = (self.config.limits, self.port);
        let task = tokio::spawn(async move {
            // Nobody listens any more when the provider is to stop, and then this task ends too.
            let report = scan::scan(
                addresses,
                limits,
                |address| scan::connect(address, port),
                |event| {
                    if let Event::Found(address) = event {
                        let _ = sender.send(News::Found(address));
                    }
                },
            )
            .await;
            let _ = sender.send(News::Ended(report));
        });
        Scanning { news, task }
    }

    fn ended(&mut self, report: &Report) {
        self.trouble = report.reason.as_ref().map(|reason| {
            format!(
                "{} of {} addresses could not be tried: {reason}",
                report.untried,
                self.addresses.len()
            )
        });
        if report.untried > 0 {
            return;
        }
        self.complete = true;
        let found: HashSet<String> = report.found.iter().map(ToString::to_string).collect();
        let mut missed = std::mem::take(&mut self.missed);
        self.hosts.retain(|host, fails| {
            let misses = match fails && !found.contains(host) {
                true => missed.remove(host).unwrap_or(0) + 1,
                false => 0,
            };
            if misses > 0 {
                self.missed.insert(host.to_owned(), misses);
            }
            misses < MISSES
        });
        self.missed.retain(|_, misses| *misses < MISSES);
    }

    /// Passes on what is news. After a round of looks everything is.
    async fn tell(&mut self, feed: &Feed, round_over: bool) {
        let Asked {
            mut nodes, trouble, ..
        } = self.hosts.state();
        nodes.sort_unstable();
        nodes.dedup();
        let troubles: Vec<String> = self.trouble.clone().into_iter().chain(trouble).collect();
        let trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
        let changed = nodes != self.told.nodes;
        if self.told.whole || self.complete && self.hosts.is_idle() {
            let first = !std::mem::replace(&mut self.told.whole, true);
            let recovered = trouble.is_none() && self.told.trouble.is_some();
            if first || changed || recovered || round_over && trouble.is_none() {
                feed.tell(Observation::Snapshot(nodes.clone())).await;
            }
        } else {
            // Half a scan is no complete answer. What is told now holds until there is one.
            let holds = self.config.longest() * 4 + self.config.interval * 4;
            let old: HashSet<&NodeName> = self.told.nodes.iter().collect();
            for node in nodes
                .iter()
                .filter(|node| round_over || !old.contains(node))
            {
                feed.tell(Observation::Seen(node.clone(), holds)).await;
            }
        }
        if let Some(trouble) = &trouble
            && (changed || round_over || self.told.trouble.as_ref() != Some(trouble))
        {
            feed.tell(Observation::Failed(trouble.clone())).await;
        }
        self.told.nodes = nodes;
        self.told.trouble = trouble;
    }
}

impl Provider for Subnet {
    fn kind(&self) -> &'static str {
        "subnet"
    }

    fn keep_for(&self) -> Duration {
        self.config.keep_for
    }

    fn run(self: Box<Self>, feed: Feed) -> Running {
        Box::pin((*self).work(feed))
    }
}

/// A scan under way; it ends when this is dropped.
struct Scanning {
    news: mpsc::UnboundedReceiver<News>,
    task: JoinHandle<()>,
}

impl Drop for Scanning {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum News {
    Found(IpAddr),
    Ended(Report),
}

/// What the scan says next; nothing ever if there is none.
async fn news(scanning: &mut Option<Scanning>) -> News {
    match scanning {
        Some(scanning) => scanning.news.recv().await.unwrap_or_else(|| {
            // It panicked, which would be a bug of ours.
            News::Ended(Report {
                untried: 1,
                reason: Some("the scan ended before its time".into()),
                ..Report::default()
            })
        }),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ProviderId;
    use crate::discovery::epmd::tests::{context, fake};
    use crate::discovery::{Observed, SignalSender, feed};
    use tokio::net::TcpListener;

    struct Rig {
        observed: mpsc::Receiver<Observed>,
        signals: SignalSender,
        task: JoinHandle<()>,
    }

    impl Rig {
        fn start(config: &SubnetConfig) -> Self {
            let (sender, observed) = mpsc::channel(1000);
            let signals = SignalSender::new();
            let feed = feed(ProviderId::new(0).unwrap(), sender, &signals);
            let subnet = Box::new(Subnet::new(config, &context("me@127.0.0.1")).unwrap());
            Self {
                observed,
                task: tokio::spawn(subnet.run(feed)),
                signals,
            }
        }

        async fn next(&mut self) -> Observation {
            let next = tokio::time::timeout(Duration::from_secs(30), self.observed.recv());
            next.await.expect("an observation").unwrap().observation
        }

        async fn until(&mut self, wanted: impl Fn(&Observation) -> bool) -> Observation {
            loop {
                let observation = self.next().await;
                if wanted(&observation) {
                    return observation;
                }
            }
        }

        async fn until_nodes(&mut self, nodes: &[&str]) {
            let nodes: Vec<NodeName> = nodes.iter().map(|node| node.parse().unwrap()).collect();
            let wanted = Observation::Snapshot(nodes);
            self.until(|observation| *observation == wanted).await;
        }
    }

    fn config(cidr: &str, port: u16) -> SubnetConfig {
        SubnetConfig {
            port: Some(port),
            interval: Duration::from_millis(50),
            timeout: Duration::from_secs(2),
            rescan_interval: Duration::from_millis(300),
            ..SubnetConfig::new([cidr.parse().unwrap()])
        }
    }

    #[tokio::test]
    async fn nodes_are_told_as_they_are_found_then_all_then_what_changes() {
        let (port, one) = fake("127.0.80.7", 0).await;
        let (_, two) = fake("127.0.80.200", port).await;
        one.send_replace(Some(vec!["a"]));
        two.send_replace(Some(vec!["b", "hidden"]));
        let mut config = config("127.0.80.0/24", port);
        // Half a second for the whole.
        config.limits.rate = 500;
        let mut rig = Rig::start(&config);
        let first = rig.next().await;
        assert!(matches!(first, Observation::Seen(..)), "{first:?}");
        rig.until_nodes(&["a@127.0.80.7", "b@127.0.80.200"]).await;
        one.send_replace(Some(vec!["a", "c"]));
        rig.until_nodes(&["a@127.0.80.7", "b@127.0.80.200", "c@127.0.80.7"])
            .await;
        // A host that comes later is found by the next scan.
        let (_, three) = fake("127.0.80.201", port).await;
        three.send_replace(Some(vec!["d"]));
        one.send_replace(Some(vec![]));
        rig.until_nodes(&["b@127.0.80.200", "d@127.0.80.201"]).await;
        rig.signals.stop();
        rig.task.await.unwrap();
    }

    #[tokio::test]
    async fn a_host_that_takes_connections_and_is_silent_keeps_its_nodes() {
        let (port, nodes) = fake("127.0.81.7", 0).await;
        nodes.send_replace(Some(vec!["a"]));
        let mut rig = Rig::start(&config("127.0.81.0/28", port));
        rig.until_nodes(&["a@127.0.81.7"]).await;
        nodes.send_replace(None);
        let failed = rig.until(|o| matches!(o, Observation::Failed(_))).await;
        assert!(format!("{failed:?}").contains("127.0.81.7"), "{failed:?}");
        nodes.send_replace(Some(vec!["a", "b"]));
        rig.until_nodes(&["a@127.0.81.7", "b@127.0.81.7"]).await;
        rig.signals.stop();
        rig.task.await.unwrap();
    }

    #[test]
    fn misses_are_counted_by_whole_scans_in_a_row() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let _guard = runtime.enter();
        let config = config("127.0.82.0/29", 1);
        let mut subnet = Subnet::new(&config, &context("me@127.0.0.1")).unwrap();
        subnet.hosts.add("127.0.82.1");
        subnet.hosts.add("127.0.82.2");
        subnet.hosts.fail("127.0.82.1", "refused");
        let nothing = Report::default();
        let cut = Report {
            untried: 1,
            reason: Some("no more files".into()),
            ..Report::default()
        };
        let found = Report {
            found: vec!["127.0.82.1".parse().unwrap()],
            ..Report::default()
        };
        let mut hosts_after = |report| {
            subnet.ended(report);
            subnet.hosts.len()
        };
        // One miss, an unfinished scan, a sighting, then two misses in a row.
        let counts = [&nothing, &cut, &found, &nothing, &nothing].map(&mut hosts_after);
        assert_eq!(counts, [2, 2, 2, 2, 1]);
    }

    #[tokio::test]
    async fn what_is_no_epmd_is_left_out_without_a_complaint() {
        let listener = TcpListener::bind(("127.0.83.7", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            // A web server, say: it closes on what it does not understand.
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
        });
        let mut rig = Rig::start(&config("127.0.83.0/28", port));
        assert_eq!(rig.next().await, Observation::Snapshot(vec![]));
        rig.task.abort();
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let refused = |config: &SubnetConfig, own| Subnet::new(config, &context(own)).unwrap_err();
        let short = refused(&config("10.0.0.0/24", 1), "me@box");
        assert!(
            short.contains("short name") && short.contains("-name me@"),
            "{short}"
        );
        let many = SubnetConfig::new(["10.0.0.0/16", "10.1.0.0/24"].map(|c| c.parse().unwrap()));
        assert!(refused(&many, "me@10.0.0.1").contains("65788 addresses"));
        assert!(refused(&SubnetConfig::new([]), "me@10.0.0.1").contains("empty"));
    }
}
