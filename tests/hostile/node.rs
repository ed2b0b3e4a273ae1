//! A node whose peers know the cookie.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rendez::etf::{self, Atom, Term};
use rendez::node::{
    Answer, Builder, Caller, Dest, Exception, GenServer, Limits, NodeEvent, Process, Registration,
    SpawnOptions,
};
use rendez::{Node, NodeName};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

use crate::grammar::Id;
use crate::peer::{COOKIE, Done, Target, attack, send_large_terms, take_back_monitors};
use crate::support::{alone, free_tcp_port, seed};
use crate::watch::{self, Held};
use crate::{PATIENCE, attack_time};

/// For how long one task may hold the node's thread. An unoptimised build is some ten times slower: it takes 20 ms where
/// it is right, 210 ms to drop 6 MiB of small terms in one go, and 650 ms to read them.
const HELD: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 50 });
pub const VICTIM: &str = "victim@127.0.0.1";
const ATTACKERS: u64 = 4;

/// A service with the handlers that every service has.
struct Quiet;

impl GenServer for Quiet {
    async fn handle_call(&mut self, request: Term, _: Caller, _: &mut Process) -> Answer {
        Answer::Reply(request)
    }
}

pub fn builder(own: &str, port: u16) -> Builder {
    let nowhere = free_tcp_port();
    Node::builder(own)
        .cookie(COOKIE)
        .registration(Registration::Unlisted)
        .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .epmd_port(nowhere)
}

/// The victim with its processes, which are begun again when they were ended.
struct Household {
    node: Node,
    pids: Arc<Mutex<Vec<Id>>>,
}

impl Household {
    async fn tend(self) {
        let pg = self.node.pg(Atom::new("pg")).expect("a scope");
        // It receives nothing.
        let mut deaf = self.node.process();
        loop {
            for name in ["server", "trapping", "quiet"] {
                if self.node.whereis(&Atom::new(name)).is_none() {
                    let mut options = SpawnOptions::new().name(Atom::new(name));
                    if name == "trapping" {
                        options = options.trap_exit();
                    }
                    // Whoever came before has the name.
                    if let Ok(pid) = self.node.serve(options, Quiet).await {
                        let _ = pg.join(Term::atom(name), &pid);
                    }
                }
            }
            if !self.node.is_alive(deaf.pid()) {
                deaf = self.node.process();
            }
            if self.node.whereis(&Atom::new("deaf")).is_none() {
                let _ = self.node.register(Atom::new("deaf"), deaf.pid());
            }
            if self.node.whereis(&Atom::new("echo")).is_none() {
                let options = SpawnOptions::new().name(Atom::new("echo"));
                let _ = self.node.spawn_with(options, echo);
            }
            let names = [
                "server",
                "trapping",
                "deaf",
                "echo",
                "rex",
                "net_kernel",
                "pg",
            ];
            let pids = names
                .iter()
                .filter_map(|name| self.node.whereis(&Atom::new(name)));
            *self.pids.lock().expect("no panic under it") =
                pids.map(|pid| Id::from(&pid)).collect();
            self.ask_around();
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks the attackers something, so that there is what they can answer, and answer for each other.
    fn ask_around(&self) {
        let nodes = self.node.nodes();
        let attackers = nodes
            .into_iter()
            .filter(|it| it.name().starts_with("hostile"));
        for peer in attackers {
            let node = self.node.clone();
            tokio::spawn(async move {
                let _ = node
                    .rpc(&peer, "erlang", "node", vec![], Duration::from_millis(500))
                    .await;
            });
        }
    }
}

/// Sends back what it gets, to whom it says, and monitors who that is.
async fn echo(mut process: Process) {
    loop {
        let Some(message) = process.receive().await.into_message() else {
            continue;
        };
        let Some([Term::Pid(to), what]) = message.as_tuple() else {
            continue;
        };
        process.monitor((**to).clone()).await;
        let _ = process.send((**to).clone(), what.clone()).await;
    }
}

/// The victim, on a thread of its own.
pub struct Victim {
    pub node: Node,
    pub target: Target,
    held: Arc<Held>,
    /// Ends the functions that wait.
    over: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    /// Gives how much processor time stopping took.
    thread: std::thread::JoinHandle<Duration>,
}

impl Victim {
    pub async fn start(configure: impl FnOnce(Builder) -> Builder + Send + 'static) -> Self {
        let port = free_tcp_port();
        let (begun, began) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let held = Arc::new(Held::default());
        let over = Arc::new(Notify::new());
        let pids = Arc::new(Mutex::new(Vec::new()));
        let (measured, waits, known) = (Arc::clone(&held), Arc::clone(&over), Arc::clone(&pids));
        let thread = std::thread::spawn(move || {
            watch::runtime().block_on(async move {
                let builder = functions(builder(VICTIM, port).visible(), &waits);
                let node = configure(builder).start().await.expect("the victim starts");
                let household = Household {
                    node: node.clone(),
                    pids: known,
                };
                let tending = tokio::spawn(household.tend());
                begun.send(node.clone()).expect("the test waits for it");
                tokio::select! {
                    () = watch::measure(measured) => {}
                    _ = stopped => {}
                }
                tending.abort();
                let before = watch::thread_time();
                node.stop().await;
                watch::thread_time() - before
            })
        });
        let node = began.await.expect("the victim starts");
        while pids.lock().expect("no panic under it").is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        let target = Target {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            name: VICTIM.to_owned(),
            pids,
        };
        Self {
            node,
            target,
            held,
            over,
            stop: Some(stop),
            thread,
        }
    }
}

fn functions(builder: Builder, over: &Arc<Notify>) -> Builder {
    let over = Arc::clone(over);
    builder
        .printed(|_, _| {})
        .function("hostile", "sleep", 1, move |_, _| {
            let over = Arc::clone(&over);
            async move {
                over.notified().await;
                Ok(Term::atom("late"))
            }
        })
        .function("hostile", "panic", 0, |_, _| async {
            std::panic::panic_any(watch::WANTED_PANIC)
        })
        .function("hostile", "echo", 1, |_, mut arguments| async move {
            Ok(arguments.remove(0))
        })
        .function("quiet", "double", 1, |_, arguments| async move {
            let number = arguments[0].as_int().ok_or_else(Exception::badarg)?;
            Ok(Term::Int(2 * number))
        })
}

/// The connection that is to be left alone: how long its calls took.
async fn good(node: Node, victim: NodeName, end: Instant) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut number = 0;
    // Two more after the attack.
    while number < 2 || Instant::now() < end {
        let begun = Instant::now();
        let argument = vec![Term::Int(number)];
        let double = node
            .rpc(&victim, "quiet", "double", argument, PATIENCE)
            .await;
        assert_eq!(double.expect("an answer"), Term::Int(2 * number));
        node.ping(&victim, PATIENCE).await.expect("an answer");
        let server = Dest::registered("quiet", &victim).expect("a name");
        let asked = node.call_server(server, Term::Int(number), PATIENCE).await;
        match asked {
            Ok(answer) => assert_eq!(answer, Term::Int(number)),
            // Whoever knows the cookie may end any process, and this one was: it is begun again. The reason may be a
            // `noconnection` that they chose; whether the connection ended is asked at the end.
            Err(rendez::node::CallError::Exited(_) | rendez::node::CallError::NodeDown { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        took.push(begun.elapsed());
        number += 1;
        sleep(Duration::from_millis(20)).await;
    }
    took
}

/// Why connections ended, and how many did so.
fn reasons(events: &mut Receiver<NodeEvent>) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    loop {
        match events.try_recv() {
            Ok(NodeEvent::Down(_, reason)) => {
                let text = format!("{reason:?}").chars().take(150).collect();
                *reasons.entry(text).or_default() += 1;
            }
            Ok(NodeEvent::Up(_)) | Err(TryRecvError::Lagged(_)) => {}
            Err(_) => return reasons,
        }
    }
}

/// Attacks a node that is configured so, and holds it to what is promised.
async fn withstands(
    time: Duration,
    seed: u64,
    most: usize,
    configure: impl FnOnce(Builder) -> Builder + Send + 'static,
) {
    watch::count_panics();
    let mut victim = Victim::start(configure).await;
    let name: NodeName = VICTIM.parse().expect("a name");
    let port = victim.target.address.port();
    let builder = builder("good@127.0.0.1", 0).port_of_all(port);
    let friend = builder.registration(Registration::None).start().await;
    let friend = friend.expect("the node starts");
    let mut events = friend.subscribe();
    let connection = friend.connect(&name).await.expect("a connection");
    let mut ends = victim.node.subscribe();
    let before = watch::allocated();

    let end = Instant::now() + time;
    let calls = tokio::spawn(good(friend.clone(), name.clone(), end));
    let peak = tokio::spawn(async move {
        let mut peak = 0;
        while Instant::now() < end {
            peak = peak.max(watch::allocated());
            sleep(Duration::from_millis(2)).await;
        }
        peak
    });
    let attacks =
        (0..ATTACKERS).map(|number| tokio::spawn(attack(victim.target.clone(), number, seed, end)));
    let attacks: Vec<_> = attacks.collect();
    let mut all = Done::default();
    for attack in attacks {
        let done = attack.await.expect("the attacker does not panic");
        all.connections += done.connections;
        all.bytes += done.bytes;
        all.ended += done.ended;
    }
    println!("why the node lost them: {:#?}", reasons(&mut ends));
    let peak = peak
        .await
        .expect("it does not panic")
        .saturating_sub(before);
    let mut took = calls.await.expect("the other connection is served");
    took.sort();
    let (middle, longest) = (took[took.len() / 2], took[took.len() - 1]);
    let held = victim.held.longest();
    println!(
        "{} connections, {} of them ended by the node, {} bytes; {} rounds of calls of another node: half within \
         {middle:?}, all within {longest:?}; a task held the thread for {held:?} of processor time at most; at most \
         {peak} bytes more than before",
        all.connections,
        all.ended,
        all.bytes,
        took.len()
    );
    assert!(all.connections > 3 && all.bytes > 100_000, "{all:?}");
    assert_eq!(watch::panics(), 0, "nothing panics");
    assert!(!connection.is_closed(), "the other connection stays");
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, NodeEvent::Down(..)), "{event:?}");
    }
    assert!(held < HELD, "a task held the thread for {held:?}");
    assert!(peak < most, "{peak} bytes, and at most {most} are promised");

    // What the attackers left behind goes with them.
    victim.over.notify_waiters();
    let waiting = Instant::now();
    loop {
        victim.over.notify_waiters();
        for name in ["deaf", "trapping", "server", "echo"] {
            if let Some(pid) = victim.node.whereis(&Atom::new(name)) {
                let process = victim.node.process();
                process.exit(&pid, Term::atom("kill")).await;
            }
        }
        let left = watch::allocated().saturating_sub(before);
        let nodes = victim.node.nodes();
        if nodes.len() == 1 && left < 16 << 20 {
            println!("{left} bytes are left {:?} later", waiting.elapsed());
            break;
        }
        assert!(waiting.elapsed() < PATIENCE, "{nodes:?}, {left} bytes");
        sleep(Duration::from_millis(20)).await;
    }

    // And it stops when it is told to, still under attack.
    let end = Instant::now() + Duration::from_secs(1);
    let last = tokio::spawn(attack(victim.target.clone(), 1, !seed, end));
    sleep(Duration::from_millis(300)).await;
    let _ = victim.stop.take();
    let thread = victim.thread;
    let stopping = tokio::task::spawn_blocking(move || thread.join().expect("it does not panic"));
    let stopping = tokio::time::timeout(PATIENCE, stopping).await;
    let stopping = stopping.expect("it stops").expect("it does not panic");
    println!("stopping took {stopping:?} of processor time");
    assert!(stopping < Duration::from_secs(1) * if cfg!(debug_assertions) { 5 } else { 1 });
    last.await.expect("the attacker does not panic");
    assert_eq!(watch::panics(), 0, "nothing panics");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_peer_with_the_cookie_harms_nobody_else() {
    if !alone("node::a_hostile_peer_with_the_cookie_harms_nobody_else") {
        return;
    }
    let time = attack_time(Duration::from_secs(8));
    // Of each attacker: a message, what is decoded of it, fragments, what waits in mailboxes and what waits for it.
    let of_each = (128 + 512 + 512 + 128 + 17) << 20;
    withstands(time, seed::seed(41), of_each * 4, |builder| builder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hostile_peer_makes_a_node_keep_stays_within_its_limits() {
    if !alone("node::what_a_hostile_peer_makes_a_node_keep_stays_within_its_limits") {
        return;
    }
    let time = attack_time(Duration::from_secs(5));
    let of_each = (1 + 4 + 1 + 1 + 17) << 20;
    withstands(time, seed::seed(43), of_each * 4 + (8 << 20), |builder| {
        builder
            .max_message(1 << 20)
            .max_assembly(1 << 20)
            .high_water(64 << 10)
            .decode_limits(etf::Limits {
                max_memory: 4 << 20,
                ..etf::Limits::default()
            })
            .limits(Limits {
                functions: 1000,
                arguments: 1 << 20,
                unreceived: 256 << 10,
                unreceived_at_most: 1 << 20,
                ..Limits::default()
            })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_of_some_megabytes_do_not_hold_a_thread_of_the_node() {
    if !alone("node::terms_of_some_megabytes_do_not_hold_a_thread_of_the_node") {
        return;
    }
    let victim = Victim::start(|builder| builder).await;
    let done = send_large_terms(&victim.target, Instant::now() + PATIENCE).await;
    assert!(done.bytes > 20 << 20, "{done:?}");
    // It has read them all when it has answered this.
    let port = victim.target.address.port();
    let builder = builder("good@127.0.0.1", 0).port_of_all(port);
    let friend = builder.registration(Registration::None).start().await;
    let friend = friend.expect("the node starts");
    let name = VICTIM.parse().expect("a name");
    friend.ping(&name, PATIENCE).await.expect("an answer");
    let held = victim.held.longest();
    println!("a task held the thread for {held:?} of processor time at most");
    assert!(held < HELD, "a task held the thread for {held:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_and_groups_cost_their_number_and_not_its_square() {
    if !alone("node::many_processes_and_groups_cost_their_number_and_not_its_square") {
        return;
    }
    const MANY: usize = 20_000;
    let victim = Victim::start(|builder| builder).await;
    let node = &victim.node;
    for _ in 0..MANY {
        node.spawn(|mut process| async move { drop(process.receive().await) });
    }
    let before = watch::process_time();
    take_back_monitors(&victim.target, 5000).await;
    let took = watch::process_time() - before;
    println!("5,000 monitors by a name that no process has: {took:?} of processor time");
    assert!(took < Duration::from_secs(4), "{took:?}");

    let pg = node.pg(Atom::new("pg")).expect("a scope");
    let singer = node.spawn(|mut process| async move { drop(process.receive().await) });
    for group in 0..MANY {
        let group = Term::Int(i64::try_from(group).expect("small"));
        pg.join(group, &singer).expect("a process of the node");
    }
    let before = watch::process_time();
    let process = node.process();
    process.exit(&singer, Term::atom("kill")).await;
    let begun = Instant::now();
    while !pg.members(&Term::Int(0)).is_empty() || !pg.members(&Term::Int(19_999)).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "it is still a member");
        sleep(Duration::from_millis(20)).await;
    }
    let took = watch::process_time() - before;
    println!("the end of a process of {MANY} groups: {took:?} of processor time");
    assert!(took < Duration::from_secs(4), "{took:?}");
}
