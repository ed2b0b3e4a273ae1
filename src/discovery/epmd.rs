//! Peers are the nodes that are registered with EPMD on some hosts.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Context;
use super::address::plain;
use super::polling::{Answer, KEEP_FOR, Poll, PollError, Polling};
use crate::epmd::codec::{Name, NodeType};
use crate::epmd::{Client, EpmdError, port_from_env};
use crate::name::NodeName;

/// Questions to one EPMD that are under way at once, so that a host with hundreds of nodes does not
/// get as many connections in one moment.
const QUESTIONS: usize = 8;

/// Hosts that are asked at once, so that a long list of them neither uses up file descriptors nor floods a
/// network.
const HOSTS: usize = 128;

/// Hosts that fail and are told one by one; of the others only their number is told.
const TOLD: usize = 3;

/// Nodes of one host that are taken up; a host with more is a mistake or an attack.
const MAX_NODES: usize = 10_000;

/// How long the answers of some hosts wait for those of the others. A host that is down must not
/// delay the first join; what it says later is in the next answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where to look, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpmdConfig {
    /// Names or addresses of the hosts. `localhost` is the own host, by the name that the own node
    /// calls it.
    pub hosts: Vec<String>,
    /// The port of EPMD; `None` for `ERL_EPMD_PORT`, else 4369.
    pub port: Option<u16>,
    /// The longest time between two looks.
    pub interval: Duration,
    /// How long a name is kept that the answers leave out. Default: [`KEEP_FOR`].
    pub keep_for: Duration,
    /// How long a host may take to answer one question.
    pub timeout: Duration,
}

impl Default for EpmdConfig {
    fn default() -> Self {
        Self {
            hosts: vec!["localhost".into()],
            port: None,
            interval: Duration::from_secs(5),
            keep_for: KEEP_FOR,
            timeout: Duration::from_secs(2),
        }
    }
}

/// Makes the provider.
///
/// Hidden nodes are left out: a C node, a remote shell or another node's sidecar does not want to be
/// in the mesh. A name that is no node name is left out as well.
///
/// A host that does not answer keeps the nodes that it named before, and its error is shown. That goes
/// too for a host where nothing listens on EPMD's port: nodes outlive their EPMD and register again
/// when it is back, so its absence does not say that they are gone.
///
/// # Errors
/// A sentence for the user if `hosts` is empty, a host cannot be part of a node name, or
/// `ERL_EPMD_PORT` is needed and is no port.
pub fn epmd(config: &EpmdConfig, context: &Context) -> Result<Polling<Epmd>, String> {
    Ok(Polling::new(Epmd::new(config, context)?, config.interval).keeping(config.keep_for))
}

/// Asks EPMD on hosts; see [`epmd`].
#[derive(Debug)]
pub struct Epmd {
    own: Option<NodeName>,
    port: u16,
    timeout: Duration,
    /// By the host as it stands in the names of its nodes.
    hosts: BTreeMap<Arc<str>, Host>,
    /// The hosts that are being asked. A slow one stays here from one look to the next.
    looks: JoinSet<(Arc<str>, u64, Result<Known, String>)>,
    /// Lets so many of them work at one time.
    gate: Arc<Semaphore>,
    /// How many hosts there ever were; each has a number, so that the answer of one that was dropped is not
    /// taken for that of one that came in its place.
    numbers: u64,
}

/// What hosts said.
#[derive(Debug)]
pub(super) struct Asked {
    /// The nodes of all hosts, of one that fails those that it named before.
    pub nodes: Vec<NodeName>,
    /// Why hosts failed.
    pub trouble: Option<String>,
    /// There is no host, or one of them answered.
    pub answered: bool,
}

/// What stands under a name and port. Both together, since a new node may take an old one's name.
type Known = HashMap<(Name, u16), Kind>;

/// A host and what it said last.
#[derive(Debug)]
struct Host {
    client: Client,
    number: u64,
    known: Arc<Known>,
    /// It has answered at least once.
    answered: bool,
    /// A question to it is under way.
    asked: bool,
    /// Why the last look failed.
    trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Peer,
    Hidden,
}

impl Host {
    fn nodes(&self, written: &str) -> impl Iterator<Item = NodeName> {
        self.known
            .iter()
            .filter(|(_, kind)| **kind == Kind::Peer)
            .filter_map(move |((name, _), _)| NodeName::new(name.as_str(), written).ok())
    }
}

/// Asks a host. Only nodes that were not `known` get a question of their own.
async fn look(client: Client, known: Arc<Known>) -> Result<Known, EpmdError> {
    let names = client.names().await?;
    let gate = Arc::new(Semaphore::new(QUESTIONS));
    let mut now_known = HashMap::new();
    let mut questions = JoinSet::new();
    for key in names.nodes.into_iter().take(MAX_NODES) {
        if let Some(&kind) = known.get(&key) {
            now_known.insert(key, kind);
            continue;
        }
        let (client, gate) = (client.clone(), Arc::clone(&gate));
        questions.spawn(async move {
            // Never closed, so the permit is always had.
            let _permit = gate.acquire().await;
            let answer = client.port_please(&key.0).await;
            (key, answer)
        });
    }
    while let Some(question) = questions.join_next().await {
        // A question that panicked would be a bug of ours; its node is asked about next time.
        let Ok((key, answer)) = question else {
            continue;
        };
        match answer?.map(|node| node.node_type) {
            Some(NodeType::Hidden) => now_known.insert(key, Kind::Hidden),
            Some(_) => now_known.insert(key, Kind::Peer),
            // It went away between the two questions.
            None => None,
        };
    }
    Ok(now_known)
}

impl Epmd {
    fn new(config: &EpmdConfig, context: &Context) -> Result<Self, String> {
        if config.hosts.is_empty() {
            return Err("hosts is empty; name at least one host, or localhost for this one".into());
        }
        let mut epmd = Self::without_hosts(config.port, config.timeout, context.own.clone())?;
        for host in &config.hosts {
            epmd.check(host)
                .map_err(|error| format!("hosts: {host:?}: {error}"))?;
        }
        epmd.set_hosts(&config.hosts)?;
        Ok(epmd)
    }

    /// As the provider, with no host to ask so far.
    ///
    /// # Errors
    /// A sentence for the user if `ERL_EPMD_PORT` is needed and is no port.
    pub(super) fn without_hosts(
        port: Option<u16>,
        timeout: Duration,
        own: Option<NodeName>,
    ) -> Result<Self, String> {
        let port = match port {
            Some(port) => port,
            None => port_from_env().map_err(|error| error.to_string())?,
        };
        Ok(Self {
            own,
            port,
            timeout,
            hosts: BTreeMap::new(),
            looks: JoinSet::new(),
            gate: Arc::new(Semaphore::new(HOSTS)),
            numbers: 0,
        })
    }

    /// Whether a host can be part of a node name.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self, host: &str) -> Result<(), String> {
        let written = host_part(host, self.own.as_ref());
        NodeName::new("x", &written)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// Asks these hosts from now on. Those that it asked before keep what they said.
    ///
    /// # Errors
    /// As [`Self::check`]; nothing is changed then.
    pub(super) fn set_hosts<'a>(
        &mut self,
        given: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), String> {
        let mut wanted = BTreeMap::new();
        for host in given {
            self.check(host)?;
            let written: Arc<str> = host_part(host, self.own.as_ref()).into();
            wanted.entry(written).or_insert(host);
        }
        self.hosts.retain(|written, _| wanted.contains_key(written));
        for (written, host) in wanted {
            self.insert(written, host);
        }
        Ok(())
    }

    fn insert(&mut self, written: Arc<str>, host: &str) {
        let asked = match &self.own {
            // Where other nodes would ask for it. The sidecar's own node may be on another machine.
            Some(own) if host == "localhost" => own.host(),
            _ => host,
        };
        let client = Client::new(asked, self.port).with_timeout(self.timeout);
        self.numbers += 1;
        let number = self.numbers;
        self.hosts.entry(written).or_insert_with(|| Host {
            client,
            number,
            known: Arc::default(),
            answered: false,
            asked: false,
            trouble: None,
        });
    }

    /// Asks one more host from now on, by its address, and at once.
    pub(super) fn add(&mut self, address: &str) {
        let written: Arc<str> = address.into();
        if !self.hosts.contains_key(&written) {
            self.insert(Arc::clone(&written), address);
            self.ask_one(&written);
        }
    }

    /// Keeps the hosts of which `keep` says so, by name and whether the last look at it failed.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str, bool) -> bool) {
        self.hosts
            .retain(|written, host| keep(written, host.trouble.is_some()));
    }

    /// Drops the hosts that never answered as EPMD does.
    pub(super) fn drop_strangers(&mut self) {
        self.hosts.retain(|written, host| {
            let stranger = !host.answered && !host.asked && host.trouble.is_some();
            if stranger {
                tracing::debug!(host = %written, why = ?host.trouble, "no EPMD");
            }
            !stranger
        });
    }

    /// Whether no host is being asked.
    pub(super) fn is_idle(&self) -> bool {
        self.hosts.values().all(|host| !host.asked)
    }

    /// Asks every host that is not being asked.
    pub(super) fn ask(&mut self) {
        let all: Vec<Arc<str>> = self.hosts.keys().cloned().collect();
        for written in all {
            self.ask_one(&written);
        }
    }

    fn ask_one(&mut self, written: &Arc<str>) {
        if let Some(host) = self.hosts.get_mut(written)
            && !std::mem::replace(&mut host.asked, true)
        {
            let (client, known) = (host.client.clone(), Arc::clone(&host.known));
            let (written, number) = (Arc::clone(written), host.number);
            let gate = Arc::clone(&self.gate);
            self.looks.spawn(async move {
                // Never closed, so the permit is always had.
                let _permit = gate.acquire().await;
                let most = client.timeout() * 2;
                let result = match timeout(most, look(client.clone(), known)).await {
                    Ok(result) => result.map_err(|error| error.to_string()),
                    Err(_) => Err(format!(
                        "EPMD at {} names nodes, but does not say within {most:?} of what kind they are",
                        client.endpoint()
                    )),
                };
                (written, number, result)
            });
        }
    }

    fn take(&mut self, written: &str, number: u64, result: Result<Known, String>) {
        let Some(host) = self.hosts.get_mut(written) else {
            return;
        };
        if host.number != number {
            return;
        }
        host.asked = false;
        match result {
            Ok(known) => {
                host.known = Arc::new(known);
                host.answered = true;
                host.trouble = None;
            }
            Err(error) => host.trouble = Some(error),
        }
    }

    /// Waits until one of the hosts that are asked has answered or failed; for ever if none is. Cancel-safe.
    pub(super) async fn step(&mut self) {
        match self.looks.join_next().await {
            None => std::future::pending().await,
            Some(Ok((written, number, result))) => self.take(&written, number, result),
            // A panic would be a bug of ours. Which host it was is not known: ask all again.
            Some(Err(error)) => {
                self.looks = JoinSet::new();
                for host in self.hosts.values_mut() {
                    host.asked = false;
                    host.trouble = Some(format!("asking EPMD failed: {error}"));
                }
            }
        }
    }

    /// Waits until every host has answered, or there is something to say and the others had a moment to.
    async fn wait(&mut self, something: bool) {
        let mut patience = pin!(sleep(PATIENCE));
        let mut over = false;
        loop {
            let asked = |host: &Host| host.asked;
            if !self.hosts.values().any(asked)
                || over && (something || self.hosts.values().any(|host| host.answered))
            {
                return;
            }
            tokio::select! {
                () = self.step() => {}
                () = &mut patience, if !over => over = true,
            }
        }
    }

    /// Asks every host, and says what is known of all of them. A host that takes its time is not waited for if
    /// another one answered or, by `something`, the caller has something to say without. Can be dropped and
    /// called again.
    pub(super) async fn look(&mut self, something: bool) -> Asked {
        self.ask();
        self.wait(something).await;
        self.state()
    }

    /// What is known of all hosts.
    pub(super) fn state(&self) -> Asked {
        let hosts = || self.hosts.iter();
        let troubles: Vec<&str> = hosts()
            .filter_map(|(_, host)| host.trouble.as_deref())
            .collect();
        let mut trouble = troubles[..troubles.len().min(TOLD)].join("; ");
        if troubles.len() > TOLD {
            trouble += &format!("; and {} more hosts", troubles.len() - TOLD);
        }
        Asked {
            nodes: hosts()
                .flat_map(|(written, host)| host.nodes(written))
                .collect(),
            answered: self.hosts.is_empty() || troubles.len() < self.hosts.len(),
            trouble: (!troubles.is_empty()).then_some(trouble),
        }
    }
}

#[cfg(test)]
impl Epmd {
    /// How many hosts there are.
    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Has a host fail.
    pub(super) fn fail(&mut self, written: &str, why: &str) {
        if let Some(host) = self.hosts.get_mut(written) {
            host.trouble = Some(why.into());
        }
    }
}

impl Poll for Epmd {
    fn kind(&self) -> &'static str {
        "epmd"
    }

    async fn poll(&mut self) -> Result<Answer, PollError> {
        let Asked {
            nodes,
            trouble,
            answered,
        } = self.look(false).await;
        match trouble.map(PollError) {
            Some(error) if !answered => Err(error),
            trouble => Ok(Answer {
                nodes,
                trouble,
                ..Answer::default()
            }),
        }
    }
}

/// The host as it stands in its nodes' names.
fn host_part(given: &str, own: Option<&NodeName>) -> String {
    let given = &*plain(given);
    match own {
        Some(own) if given == "localhost" => own.host().to_owned(),
        None if given == "localhost" => system_host().unwrap_or_else(|| "localhost".into()),
        // Among nodes with short names the host is the first label.
        Some(own) if !own.is_long() && given.parse::<std::net::IpAddr>().is_err() => {
            given.split('.').next().unwrap_or(given).to_owned()
        }
        _ => given.to_owned(),
    }
}

/// This machine's short name, as a node started with `-sname` calls it.
fn system_host() -> Option<String> {
    let text = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())?;
    let label = text.trim().split('.').next().unwrap_or_default();
    (!label.is_empty()).then(|| label.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    /// A node that wants peers.
    pub fn context(own: &str) -> Context {
        Context {
            own: Some(own.parse().unwrap()),
            cookie: None,
        }
    }

    /// An EPMD on `address` that lists what `nodes` holds, or is silent at `None`. Names that begin
    /// with "hidden" are of hidden nodes.
    pub async fn fake(address: &str, port: u16) -> (u16, watch::Sender<Option<Vec<&'static str>>>) {
        let listener = TcpListener::bind((address, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, nodes) = watch::channel(Some(Vec::new()));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let nodes = nodes.borrow().clone();
                tokio::spawn(async move {
                    let mut request = [0; 600];
                    let length = stream.read(&mut request).await.unwrap();
                    let Some(nodes) = nodes else {
                        return std::future::pending().await;
                    };
                    let answer = match request[2] {
                        b'n' => {
                            let mut answer = vec![0, 0, 0x11, 0x11];
                            for name in nodes {
                                answer.extend(format!("name {name} at port 7\n").bytes());
                            }
                            answer
                        }
                        _ => {
                            let kind = if request[3..length].starts_with(b"hidden") {
                                72
                            } else {
                                77
                            };
                            vec![b'w', 0, 0, 7, kind, 0, 0, 6, 0, 6, 0, 1, b'a', 0, 0]
                        }
                    };
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        (port, sender)
    }

    fn provider(hosts: &[&str], port: u16) -> Epmd {
        let config = EpmdConfig {
            hosts: hosts.iter().map(|&host| host.into()).collect(),
            port: Some(port),
            timeout: Duration::from_secs(2),
            ..EpmdConfig::default()
        };
        Epmd::new(&config, &context("me@127.0.0.1")).unwrap()
    }

    fn names(answer: &Answer) -> Vec<&str> {
        let mut names: Vec<&str> = answer.nodes.iter().map(NodeName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[tokio::test]
    async fn hidden_nodes_and_odd_names_are_left_out() {
        let (port, nodes) = fake("127.0.0.1", 0).await;
        nodes.send_replace(Some(vec!["a", "hidden", "no.node", "b"]));
        let answer = provider(&["localhost"], port).poll().await.unwrap();
        assert_eq!(names(&answer), ["a@127.0.0.1", "b@127.0.0.1"]);
        assert_eq!(answer.trouble, None);
    }

    #[tokio::test]
    async fn a_host_that_fails_keeps_its_nodes_while_others_change() {
        let (port, one) = fake("127.0.0.1", 0).await;
        let (_, two) = fake("127.0.0.2", port).await;
        one.send_replace(Some(vec!["a"]));
        two.send_replace(Some(vec!["b"]));
        // Nothing listens on 127.0.0.3.
        let mut epmd = provider(&["127.0.0.1", "127.0.0.2", "127.0.0.3"], port);
        let answer = epmd.poll().await.unwrap();
        assert_eq!(names(&answer), ["a@127.0.0.1", "b@127.0.0.2"]);
        let trouble = answer.trouble.unwrap().0;
        assert!(trouble.contains(&format!("127.0.0.3:{port}")), "{trouble}");

        one.send_replace(Some(vec!["c"]));
        two.send_replace(None);
        let answer = epmd.poll().await.unwrap();
        assert_eq!(names(&answer), ["b@127.0.0.2", "c@127.0.0.1"]);
        // The silent host did not hold up the others: its time is not over yet.
        let trouble = answer.trouble.unwrap().0;
        assert!(!trouble.contains("127.0.0.2"), "{trouble}");
        let answer = loop {
            let answer = epmd.poll().await.unwrap();
            if answer.trouble.as_ref().unwrap().0.contains("127.0.0.2") {
                break answer;
            }
        };
        assert!(answer.trouble.as_ref().unwrap().0.contains("127.0.0.3"));
        assert_eq!(names(&answer), ["b@127.0.0.2", "c@127.0.0.1"]);

        two.send_replace(Some(vec![]));
        let answer = loop {
            let answer = epmd.poll().await.unwrap();
            if !answer.nodes.iter().any(|node| node.name() == "b") {
                break answer;
            }
        };
        assert_eq!(names(&answer), ["c@127.0.0.1"], "an answer does remove");
    }

    #[tokio::test]
    async fn no_epmd_is_no_answer() {
        let (port, _nodes) = fake("127.0.0.1", 0).await;
        let error = provider(&["127.0.0.2"], port).poll().await.unwrap_err();
        assert!(error.0.contains("nothing listens at 127.0.0.2"), "{error}");
    }

    #[tokio::test]
    async fn of_many_hosts_that_fail_the_first_are_told_and_the_others_counted() {
        let (port, _nodes) = fake("127.0.0.1", 0).await;
        let hosts: Vec<String> = (2..7).map(|number| format!("127.0.0.{number}")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let error = provider(&hosts, port).poll().await.unwrap_err().0;
        assert!(
            error.contains("127.0.0.4") && !error.contains("127.0.0.5"),
            "{error}"
        );
        assert!(error.ends_with("; and 2 more hosts"), "{error}");
    }

    #[test]
    fn hosts_are_written_as_the_own_node_writes_them() {
        let part = |given, own: &str| host_part(given, Some(&own.parse().unwrap()));
        assert_eq!(part("localhost", "me@box"), "box");
        assert_eq!(part("localhost", "me@10.0.0.7"), "10.0.0.7");
        assert_eq!(part("db1.internal", "me@box"), "db1");
        assert_eq!(part("db1.internal", "me@box.internal"), "db1.internal");
        assert_eq!(part("10.0.0.8", "me@box"), "10.0.0.8");
        assert_eq!(part("[fdaa::3]", "me@fdaa::1"), "fdaa::3");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for hosts in [vec![], vec!["a b".to_owned()], vec!["x@y".to_owned()]] {
            let config = EpmdConfig {
                hosts,
                port: Some(1),
                ..EpmdConfig::default()
            };
            let error = epmd(&config, &context("me@box")).unwrap_err();
            assert!(error.contains("hosts"), "{error}");
        }
    }
}
