//! The sidecar beside real `erl` nodes.
#![cfg(feature = "sidecar")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rendez::cluster::driver::Source;
use rendez::cluster::{Backoff, Policy};
use rendez::discovery::{List, ListConfig};
use rendez::sidecar::{AttachOptions, Sidecar, SidecarError};
use rendez::{NodeName, Secret};
use support::beam::{Beam, BeamOptions, Epmd, beam_is_installed};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far more than anything here needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
const COOKIE: &str = "rendez-tests";
/// The nodes that the attached one is connected to, hidden ones among them, the sidecar left out.
const CONNECTED: &str = "[N || N <- lists:sort(nodes(connected)), \
                         string:prefix(atom_to_list(N), \"rendez-\") =:= nomatch]";

fn name(text: &str) -> NodeName {
    text.parse().expect("a node name")
}

fn erl(epmd: &Epmd, name: &str) -> Beam {
    Beam::start(epmd, &BeamOptions::erl(name))
}

/// A node that connects to nobody by itself: without this, `global` would make the mesh of what the sidecar
/// connected.
fn loner(name: &str) -> BeamOptions {
    BeamOptions::erl(name).flags(["-connect_all", "false"])
}

fn list(names: &[&str]) -> Vec<Source> {
    let nodes: Vec<_> = names.iter().map(|text| name(text)).collect();
    vec![Source::new("list", move || {
        let nodes = nodes.clone();
        Ok(Box::new(List::new(ListConfig { nodes })))
    })]
}

fn options(target: &str, epmd: &Epmd) -> AttachOptions {
    AttachOptions {
        epmd_port: epmd.port,
        policy: Policy {
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_millis(500)).unwrap(),
            ..Policy::default()
        },
        ..AttachOptions::new(name(target), Secret::new(COOKIE))
    }
}

/// A sidecar on a task of its own.
struct Running {
    own: NodeName,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), SidecarError>>,
}

impl Running {
    async fn start(options: AttachOptions, peers: &[&str]) -> Self {
        let sidecar = Sidecar::start(options, list(peers)).await.unwrap();
        let own = sidecar.node().name().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(sidecar.run(async {
            let _ = stopped.await;
        }));
        Self {
            own,
            stop: Some(stop),
            ended,
        }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, self.ended)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_nodes_are_joined_and_see_only_a_hidden_node() {
    if !beam_is_installed("the sidecar joins plain nodes") {
        return;
    }
    let epmd = Epmd::start();
    let names = ["a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"];
    let [mut a, mut b, mut c] = names.map(|name| erl(&epmd, name));
    let mut options = options(names[0], &epmd);
    options.name = Some(name("rendez-a-1@127.0.0.1"));
    let sidecar = Running::start(options, &names).await;
    a.wait_for_nodes(&names[1..], PATIENCE);
    b.wait_until("lists:member('a@127.0.0.1', nodes())", PATIENCE, |here| {
        here == "true"
    });
    // The sidecar is a hidden node to the one it attached to, and nothing to the others.
    assert_eq!(a.eval("nodes(hidden)"), format!("['{}']", sidecar.own));
    assert_eq!(c.eval("nodes(hidden)"), "[]");

    // A peer that comes back is joined again; the watcher tells that it went.
    b.kill();
    a.wait_for_nodes(&[names[2]], PATIENCE);
    let mut b = erl(&epmd, names[1]);
    a.wait_for_nodes(&names[1..], PATIENCE);
    b.wait_for_nodes(&[names[0], names[2]], PATIENCE);

    // So is one that someone disconnected.
    a.eval("erlang:disconnect_node('c@127.0.0.1')");
    a.wait_for_nodes(&names[1..], PATIENCE);

    // When it stops, it leaves nothing behind: no node, no process, and the mesh stays.
    let before = a.eval("length(processes())");
    sidecar.stop().await;
    a.wait_until("nodes(hidden)", PATIENCE, |hidden| hidden == "[]");
    let fewer: usize = before.parse().unwrap();
    a.wait_until("length(processes())", PATIENCE, |now| {
        now.parse::<usize>().is_ok_and(|now| now < fewer)
    });
    assert_eq!(a.nodes(), &names[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_cookie_ends_it_with_a_sentence() {
    if !beam_is_installed("the sidecar with a wrong cookie") {
        return;
    }
    let epmd = Epmd::start();
    let _a = Beam::start(&epmd, &BeamOptions::erl("a@127.0.0.1").cookie("another"));
    let sidecar = Running::start(options("a@127.0.0.1", &epmd), &[]).await;
    let ended = timeout(PATIENCE, sidecar.ended).await.unwrap().unwrap();
    let error = ended.unwrap_err();
    assert!(matches!(error, SidecarError::Cookie(_)), "{error}");
    assert!(!error.to_string().contains(COOKIE), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_its_node_and_comes_back_with_it() {
    if !beam_is_installed("the attached node restarts") {
        return;
    }
    let epmd = Epmd::start();
    let mut b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    // The node is not there yet.
    let sidecar = Running::start(options("a@127.0.0.1", &epmd), &["b@127.0.0.1"]).await;
    for _ in 0..2 {
        let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
        a.wait_for_nodes(&["b@127.0.0.1"], PATIENCE);
        a.kill();
        b.wait_for_nodes(&[], PATIENCE);
    }
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_epmd() {
    if !beam_is_installed("EPMD is killed and restarted") {
        return;
    }
    let mut epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let mut b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    let sidecar = Running::start(options("a@127.0.0.1", &epmd), &["b@127.0.0.1"]).await;
    a.wait_for_nodes(&["b@127.0.0.1"], PATIENCE);
    epmd.kill();
    // Connections do not need EPMD, new ones do.
    a.eval("erlang:disconnect_node('b@127.0.0.1')");
    b.wait_for_nodes(&[], PATIENCE);
    assert_eq!(a.eval("length(nodes(hidden))"), "1");
    epmd.restart();
    // Whether `erl` registers again by itself depends on its release, so this one is started anew.
    b.kill();
    let mut b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    b.wait_for_nodes(&["a@127.0.0.1"], PATIENCE);
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_is_killed_is_replaced() {
    if !beam_is_installed("the watcher is killed") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let mut b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    let sidecar = Running::start(options("a@127.0.0.1", &epmd), &["b@127.0.0.1"]).await;
    a.wait_for_nodes(&["b@127.0.0.1"], PATIENCE);
    let watchers = "[P || P <- processes(), {monitors, Monitors} <- [process_info(P, monitors)], \
                    {process, M} <- Monitors, is_pid(M), \
                    string:prefix(atom_to_list(node(M)), \"rendez-\") =/= nomatch]";
    let count = format!("length({watchers})");
    for _ in 0..2 {
        a.wait_until(&count, PATIENCE, |count| count == "1");
        a.eval(&format!("[exit(P, kill) || P <- {watchers}]"));
    }
    a.wait_until(&count, PATIENCE, |count| count == "1");
    a.eval("erlang:disconnect_node('b@127.0.0.1')");
    a.wait_for_nodes(&["b@127.0.0.1"], PATIENCE);
    b.wait_for_nodes(&["a@127.0.0.1"], PATIENCE);
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_cannot_be_joined_hold_up_no_one() {
    if !beam_is_installed("peers that cannot be joined") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let _foreign = Beam::start(&epmd, &loner("foreign@127.0.0.1").cookie("another"));
    let mut b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    let peers = [
        "foreign@127.0.0.1",
        "nobody@127.0.0.1",
        "short@localhost",
        "nowhere@no-such-host.invalid",
        "b@127.0.0.1",
    ];
    let sidecar = Running::start(options("a@127.0.0.1", &epmd), &peers).await;
    a.wait_until(CONNECTED, PATIENCE, |nodes| nodes == "['b@127.0.0.1']");
    b.wait_for_nodes(&["a@127.0.0.1"], PATIENCE);
    // A name of the other kind never becomes an atom there.
    let atom = "try binary_to_existing_atom(<<\"short@\", \"localhost\">>) of _ -> made catch _:_ -> none end";
    assert_eq!(a.eval(atom), "none");
    sidecar.stop().await;
}

#[cfg(feature = "cli")]
#[test]
fn a_dns_outage_ends_no_connection_of_the_attached_node_and_delays_no_live_peer() {
    use std::time::Instant;
    use support::outage::{DEAD, WATCH, WATCHED, dead};

    let what = "a DNS outage, with the sidecar";
    if !beam_is_installed(what) {
        return;
    }
    let Some(host) = support::SilentDns::new(what) else {
        return;
    };
    let epmd = Epmd::start_on(support::free_tcp_port(), &host.enter());
    let ticks = ["-kernel", "net_ticktime", "8"];
    let plain = |name: &str| loner(name).flags(ticks).within(&host.enter());
    let _healthy = Beam::start(&epmd, &plain("healthy@127.0.0.1"));
    let _live = Beam::start(&epmd, &plain("live@127.0.0.1"));
    let mut a = Beam::start(&epmd, &plain("a@127.0.0.1"));
    assert_eq!(
        a.eval("net_kernel:connect_node('healthy@127.0.0.1')"),
        "true"
    );
    assert_eq!(a.eval(WATCH), "ok");

    let dead: Vec<String> = (0..DEAD).map(dead).collect();
    let peers = format!("healthy@127.0.0.1,live@127.0.0.1,{}", dead.join(","));
    let args = [
        "a@127.0.0.1",
        "--via",
        "list",
        "--node-list",
        &peers,
        "--log-format",
        "json",
        // Of so many, most causes are only summed up above that level.
        "--log",
        "debug",
    ];
    let began = Instant::now();
    let mut attached = Attached::start_within(&host.enter(), &epmd, COOKIE, &args);
    let stderr = attached.0.stderr.take().expect("piped");
    let (tell, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    a.wait_until("lists:member('live@127.0.0.1', nodes())", PATIENCE, |is| {
        is == "true"
    });
    let joined = began.elapsed();

    // The whole outage is longer than the old way let a connection live with this `net_ticktime`.
    let outage = Duration::from_secs(15);
    let mut log = String::new();
    let mut causes = Vec::new();
    let mut told = None;
    while told.is_none() || began.elapsed() < outage {
        assert!(
            began.elapsed() < 2 * PATIENCE,
            "not every cause was told:\n{log}"
        );
        let Ok(line) = lines.recv_timeout(Duration::from_millis(100)) else {
            continue;
        };
        log.push_str(&line);
        log.push('\n');
        if line.contains("name_resolution") {
            causes.push(line);
        }
        if told.is_none()
            && dead
                .iter()
                .all(|node| causes.iter().any(|cause| cause.contains(node)))
        {
            told = Some(began.elapsed());
        }
    }
    let watched = a.eval(WATCHED);
    println!("the live peer joined after {joined:?}; all causes within {told:?}; {watched}");
    let queue: Option<u32> = watched
        .strip_prefix("{[],")
        .and_then(|rest| rest.strip_suffix('}'))
        .and_then(|number| number.parse().ok());
    let queue = queue.unwrap_or_else(|| panic!("a connection ended: {watched}"));
    assert!(queue < 4, "{queue} messages waited for net_kernel");
    // 2 s, four times as much on a machine that is busy with other things.
    assert!(joined < Duration::from_secs(8), "{joined:?}");
}

#[cfg(feature = "cli")]
#[test]
fn the_attached_node_under_another_address_is_not_connected_to() {
    if !beam_is_installed("the attached node under another address") {
        return;
    }
    let epmd = Epmd::start_at(support::free_tcp_port(), "127.0.0.2");
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let mut b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    let args = [
        "a@127.0.0.1",
        "--via",
        "list",
        "--node-list",
        "a@127.0.0.2,b@127.0.0.1",
        "--connect",
        "hidden",
    ];
    let mut attached = Attached::start(&epmd, COOKIE, &args);
    let mut lines = BufReader::new(attached.0.stderr.take().expect("piped"));
    let mut log = String::new();
    while !log.contains("a@127.0.0.2 is the attached node, which is called a@127.0.0.1") {
        let read = lines.read_line(&mut log).expect("text");
        assert!(read > 0, "it ended:\n{log}");
    }
    // Hidden connections were asked for.
    a.wait_until(CONNECTED, PATIENCE, |nodes| nodes == "['b@127.0.0.1']");
    assert_eq!(a.eval("nodes()"), "[]");
    assert_eq!(b.eval("nodes(hidden)"), "['a@127.0.0.1']");
    // OTP says this of a node that connects to itself.
    assert!(!a.log().contains("connection id"), "{}", a.log());
}

/// OTP asks a module that has `address_please/3` instead of the resolver.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_only_the_epmd_module_of_the_attached_node_knows() {
    if !beam_is_installed("an -epmd_module that knows hosts") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/erlang/test/rendez_test_epmd.erl"
    );
    let compiled = support::beam_command("erlc")
        .arg("-o")
        .args([folder.path(), source.as_ref()])
        .status();
    assert!(compiled.expect("erlc runs").success());
    let epmd = Epmd::start();
    let module = loner("a@127.0.0.1").path(folder.path());
    let module = module.flags(["-epmd_module", "rendez_test_epmd"]);
    let mut a = Beam::start(&epmd, &module);
    let known = "b@machine-7.internal.invalid";
    let _b = Beam::start(&epmd, &loner(known));
    let peers = ["c@machine-8.internal.invalid", known];
    let sidecar = Running::start(options("a@127.0.0.1", &epmd), &peers).await;
    a.wait_for_nodes(&[known], PATIENCE);
    sidecar.stop().await;
}

/// The command beside a node; it ends with the test.
struct Attached(Child);

impl Attached {
    fn start(epmd: &Epmd, cookie: &str, args: &[&str]) -> Self {
        Self::start_with(&[], epmd, cookie, args, Stdio::piped())
    }

    /// As [`Self::start`], behind words such as `ip netns exec NAME`.
    fn start_within(prefix: &[&str], epmd: &Epmd, cookie: &str, args: &[&str]) -> Self {
        Self::start_with(prefix, epmd, cookie, args, Stdio::piped())
    }

    fn start_with(
        prefix: &[&str],
        epmd: &Epmd,
        cookie: &str,
        args: &[&str],
        stderr: Stdio,
    ) -> Self {
        let command = support::cli::with_hangup();
        let mut command = match prefix {
            [first, rest @ ..] => {
                let mut within = Command::new(first);
                within
                    .args(rest)
                    .arg(command.get_program())
                    .args(command.get_args());
                within
            }
            [] => command,
        };
        let command = command
            .arg("attach")
            .args(args)
            .env("ERL_EPMD_PORT", epmd.port.to_string())
            .env("RENDEZ_COOKIE", cookie)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn();
        Self(command.expect("the command starts"))
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill").success());
    }

    /// Sends a signal by name, and gives the exit status and the whole log, of which `before` was read already.
    fn end(mut self, signal: &str, mut log: String, mut rest: impl Read) -> (Option<i32>, String) {
        self.signal(signal);
        rest.read_to_string(&mut log).expect("text");
        (self.0.wait().expect("its status").code(), log)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[cfg(feature = "cli")]
fn the_command_tells_what_happens_and_ends_by_a_signal() {
    if !beam_is_installed("rendez attach") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let _b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    for signal in ["TERM", "INT", "HUP"] {
        let args = [
            "a@127.0.0.1",
            "--via",
            "list",
            "--node-list",
            "b@127.0.0.1",
            "--log-format",
            "json",
            "--log",
            "trace",
        ];
        let mut attached = Attached::start(&epmd, COOKIE, &args);
        let mut lines = BufReader::new(attached.0.stderr.take().expect("piped"));
        let mut log = String::new();
        while !log.contains("connected") {
            let read = lines.read_line(&mut log).expect("text");
            assert!(read > 0, "it ended:\n{log}");
        }
        a.wait_for_nodes(&["b@127.0.0.1"], PATIENCE);
        // A wish to see the status does not end it.
        attached.signal("USR1");
        while !log.contains("1 of 1 named nodes are connected") {
            let read = lines.read_line(&mut log).expect("text");
            assert!(read > 0, "it ended:\n{log}");
        }
        let (code, log) = attached.end(signal, log, lines);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains(&format!("SIG{signal}: stopping")), "{log}");
        assert!(!log.contains(COOKIE), "the cookie is in the log:\n{log}");
        let lines: Vec<serde_json::Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect();
        let of = |event: &str| lines.iter().find(|line| line["event"] == event);
        let starting = of("starting").expect("it says what it does");
        let text = starting["text"].as_str().expect("a sentence");
        assert!(
            text.contains("attaches to a@127.0.0.1") && text.contains("by list"),
            "{text}"
        );
        let joined = of("joined").expect("it says that b is connected");
        assert_eq!(
            [&joined["message"], &joined["node"], &joined["attached"]],
            ["connected", "b@127.0.0.1", "a@127.0.0.1"],
            "{joined}"
        );
        a.wait_until("nodes(hidden)", PATIENCE, |hidden| hidden == "[]");
        a.eval("erlang:disconnect_node('b@127.0.0.1')");
    }
}

#[test]
#[cfg(feature = "cli")]
fn the_command_ends_when_the_cookie_is_wrong() {
    if !beam_is_installed("rendez attach with a wrong cookie") {
        return;
    }
    let epmd = Epmd::start();
    let _a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let args = ["a@127.0.0.1", "--via", "list", "--node-list", "b@127.0.0.1"];
    let mut attached = Attached::start(&epmd, "no-such-cookie", &args);
    let mut log = String::new();
    let stderr = attached.0.stderr.as_mut().expect("piped");
    stderr.read_to_string(&mut log).expect("text");
    assert_eq!(
        attached.0.wait().expect("its status").code(),
        Some(1),
        "{log}"
    );
    assert!(log.contains("not the cookie of a@127.0.0.1"), "{log}");
    assert!(!log.contains("no-such-cookie"), "{log}");
}

#[test]
#[cfg(feature = "cli")]
fn a_log_that_cannot_be_written_ends_nothing() {
    if !beam_is_installed("a log that cannot be written") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let full = std::fs::File::create("/dev/full").expect("/dev/full");
    for (what, stderr, read) in [
        ("a full disk", full.into(), false),
        ("a pipe whose reader is gone", Stdio::piped(), false),
        ("a pipe whose reader reads nothing", Stdio::piped(), true),
    ] {
        let args = [
            "a@127.0.0.1",
            "--via",
            "list",
            "--node-list",
            "b@127.0.0.1",
            "--log",
            "trace",
        ];
        let mut attached = Attached::start_with(&[], &epmd, COOKIE, &args, stderr);
        let reader = attached.0.stderr.take().filter(|_| read);
        // It has failed to log for a while when its peer comes up.
        a.wait_until("length(nodes(hidden))", PATIENCE, |count| count == "1");
        let mut b = Beam::start(&epmd, &loner("b@127.0.0.1"));
        a.wait_for_nodes(&["b@127.0.0.1"], PATIENCE);
        b.kill();
        a.wait_for_nodes(&[], PATIENCE);
        attached.signal("TERM");
        assert_eq!(
            attached.0.wait().expect("its status").code(),
            Some(0),
            "{what}"
        );
        drop(reader);
        a.wait_until("length(nodes(hidden))", PATIENCE, |count| count == "0");
    }
}

#[test]
#[cfg(feature = "cli")]
fn the_command_listens_nowhere_and_epmd_does_not_list_it() {
    if !beam_is_installed("where the sidecar listens") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let args = ["a@127.0.0.1", "--via", "self"];
    let attached = Attached::start_with(&[], &epmd, COOKIE, &args, Stdio::null());
    a.wait_until("length(nodes(hidden))", PATIENCE, |count| count == "1");
    let names = a.eval("element(2, erl_epmd:names(\"127.0.0.1\"))");
    assert!(
        names.contains("\"a\"") && !names.contains("rendez"),
        "{names}"
    );
    // The sockets of the process, and those of the host that listen (state 0A).
    let pid = attached.0.id();
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("its files")
        .filter_map(|file| {
            let link = std::fs::read_link(file.ok()?.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix("]")?;
            Some(inode.to_owned())
        })
        .collect();
    assert!(!own.is_empty(), "it has a connection");
    for table in ["tcp", "tcp6"] {
        let sockets =
            std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for socket in sockets.lines().skip(1) {
            let fields: Vec<_> = socket.split_whitespace().collect();
            let listens = fields[3] == "0A" && own.iter().any(|inode| inode == fields[9]);
            assert!(!listens, "{socket}");
        }
    }
}

#[test]
#[cfg(feature = "cli")]
fn a_second_sidecar_of_the_same_name_waits_and_throws_nobody_out() {
    if !beam_is_installed("two sidecars of one name") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let args = [
        "a@127.0.0.1",
        "--via",
        "self",
        "--name",
        "rendez-x@127.0.0.1",
    ];
    let mut first = Attached::start(&epmd, COOKIE, &args);
    let mut of_first = BufReader::new(first.0.stderr.take().expect("piped"));
    a.wait_until("length(nodes(hidden))", PATIENCE, |count| count == "1");
    let mut second = Attached::start(&epmd, COOKIE, &args);
    let mut of_second = BufReader::new(second.0.stderr.take().expect("piped"));
    let mut log = String::new();
    while !log.contains("another sidecar with this name, rendez-x@127.0.0.1, is attached") {
        assert!(
            of_second.read_line(&mut log).expect("text") > 0,
            "it ended:\n{log}"
        );
    }
    // The first one stayed where it was, and when it goes the other takes over.
    let (code, of_first) = first.end("TERM", String::new(), &mut of_first);
    assert_eq!(code, Some(0), "{of_first}");
    assert_eq!(of_first.matches("attached to a@").count(), 1, "{of_first}");
    assert!(!of_first.contains("lost a@"), "{of_first}");
    while !log.contains("attached to a@127.0.0.1 event") {
        assert!(
            of_second.read_line(&mut log).expect("text") > 0,
            "it ended:\n{log}"
        );
    }
    assert_eq!(log.matches("another sidecar").count(), 1, "{log}");
}

#[test]
#[cfg(feature = "cli")]
fn ninety_five_dead_names_are_few_lines_and_the_live_one_is_told() {
    if !beam_is_installed("many dead names in the log") {
        return;
    }
    let epmd = Epmd::start();
    let _a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let _b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    let mut names: Vec<String> = (0..95)
        .map(|index| format!("ghost{index}@127.0.0.1"))
        .collect();
    names.push("b@127.0.0.1".into());
    let names = names.join(",");
    let args = ["a@127.0.0.1", "--via", "list", "--node-list", &names];
    let started = std::time::Instant::now();
    let mut attached = Attached::start(&epmd, COOKIE, &args);
    let mut lines = BufReader::new(attached.0.stderr.take().expect("piped"));
    let mut log = String::new();
    while !log.contains("95 peers cannot be connected: 95 not_registered (ghost")
        || !log.contains("connected to b@")
    {
        assert!(
            lines.read_line(&mut log).expect("text") > 0,
            "it ended:\n{log}"
        );
    }
    let of = |event: &str| log.matches(&format!("event=\"{event}\"")).count();
    assert_eq!(of("joined"), 1, "{log}");
    // Five at once, and one more for each twelve seconds that it took; a sum after two seconds, and each fifteen.
    let took = usize::try_from(started.elapsed().as_secs()).expect("seconds");
    let (single, sums) = (of("connect_failed"), of("connect_failed_summary"));
    assert!((5..=6 + took / 12).contains(&single), "{log}");
    assert!((1..=2 + took / 15).contains(&sums), "{log}");
}

/// The command with a log that is read as it is written.
#[cfg(feature = "cli")]
struct Told {
    attached: Attached,
    lines: BufReader<std::process::ChildStderr>,
    log: String,
}

#[cfg(feature = "cli")]
impl Told {
    fn start(epmd: &Epmd, args: &[&str]) -> Self {
        let mut attached = Attached::start(epmd, COOKIE, args);
        let lines = BufReader::new(attached.0.stderr.take().expect("piped"));
        Self {
            attached,
            lines,
            log: String::new(),
        }
    }

    /// Reads until the log has this text.
    fn until(&mut self, text: &str) {
        while !self.log.contains(text) {
            let read = self.lines.read_line(&mut self.log).expect("text");
            assert!(read > 0, "it ended before it said {text:?}:\n{}", self.log);
        }
    }

    /// Asks for the status until it has this text.
    fn until_status(&mut self, text: &str) {
        // Before that the signal ends it.
        self.until("attached to ");
        while !self.log.contains(text) {
            self.attached.signal("USR1");
            let before = self.log.len();
            while !self.log[before..].contains("status: ") {
                let read = self.lines.read_line(&mut self.log).expect("text");
                assert!(read > 0, "it ended before it said {text:?}:\n{}", self.log);
            }
        }
    }

    fn end(self, signal: &str) -> String {
        let (code, log) = self.attached.end(signal, self.log, self.lines);
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

#[test]
#[cfg(feature = "cli")]
fn a_node_that_no_source_names_leaves_and_is_not_dialled_again_after_a_restart() {
    if !beam_is_installed("the sidecar removes a node") {
        return;
    }
    let epmd = Epmd::start();
    // These connect all to all, and only `a` has a sidecar: what `global` does is the other nodes' to suffer.
    let [mut a, mut b, mut c] =
        ["a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"].map(|name| erl(&epmd, name));
    for other in ["a@127.0.0.1", "b@127.0.0.1"] {
        c.eval(&format!("pong = net_adm:ping('{other}')"));
    }
    b.wait_for_nodes(&["a@127.0.0.1", "c@127.0.0.1"], PATIENCE);
    for beam in [&mut a, &mut b, &mut c] {
        beam.eval("ok = global:sync()");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("peers");
    let name = |names: &str| std::fs::write(&path, names).expect("it is written");
    name("a@127.0.0.1\nb@127.0.0.1\nc@127.0.0.1\n");
    let path_word = path.display().to_string();
    let args = [
        "a@127.0.0.1",
        "--via",
        "file",
        "--path",
        &path_word,
        "--on-removed",
        "disconnect:0s",
    ];
    let mut told = Told::start(&epmd, &args);
    told.until_status("2 of 2 named nodes are connected");
    c.eval("net_kernel:monitor_nodes(true)");
    name("a@127.0.0.1\nc@127.0.0.1\n");
    told.until("b@127.0.0.1 has left: no provider names it any longer");
    b.wait_for_nodes(&[], PATIENCE);
    told.until_status(
        "b@127.0.0.1 was removed; it is connected again when a provider names it anew",
    );
    a.wait_for_nodes(&["c@127.0.0.1"], PATIENCE);
    c.wait_for_nodes(&["a@127.0.0.1"], PATIENCE);
    told.end("HUP");
    assert_eq!(
        b.eval("application:get_env(rendez_left, node())"),
        "{ok,'a@127.0.0.1'}"
    );

    let mut told = Told::start(&epmd, &args);
    told.until_status("1 of 1 named nodes are connected");
    a.wait_for_nodes(&["c@127.0.0.1"], PATIENCE);
    // Named anew it is back.
    name("a@127.0.0.1\nb@127.0.0.1\nc@127.0.0.1\n");
    told.until("connected to b@127.0.0.1");
    b.wait_for_nodes(&["a@127.0.0.1", "c@127.0.0.1"], PATIENCE);
    told.end("TERM");
    // Those that stayed lost the one that went, and not each other.
    let lost = "(fun Flush(Lost) -> receive {nodedown, Node} -> Flush([Node | Lost]); {nodeup, _} -> Flush(Lost) \
                after 0 -> lists:usort(Lost) end end)([])";
    assert_eq!(c.eval(lost), "['b@127.0.0.1']");
}

#[test]
#[cfg(feature = "cli")]
fn a_node_that_someone_else_wants_stays_and_the_status_says_who() {
    if !beam_is_installed("two sidecars disagree") {
        return;
    }
    let epmd = Epmd::start();
    let [mut a, mut b, _c] =
        ["a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"].map(|name| erl(&epmd, name));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("peers");
    let all = "a@127.0.0.1\nb@127.0.0.1\nc@127.0.0.1\n";
    std::fs::write(&path, all).expect("it is written");
    let path_word = path.display().to_string();
    let mut told = Told::start(
        &epmd,
        &[
            "a@127.0.0.1",
            "--via",
            "file",
            "--path",
            &path_word,
            "--on-removed",
            "disconnect:0s",
        ],
    );
    let mut other = Told::start(
        &epmd,
        &[
            "c@127.0.0.1",
            "--via",
            "list",
            "--node-list",
            "a@127.0.0.1,b@127.0.0.1",
        ],
    );
    told.until_status("2 of 2 named nodes are connected");
    other.until_status("2 of 2 named nodes are connected");
    a.eval("ok = global:sync()");
    std::fs::write(&path, all.replace("b@127.0.0.1\n", "")).expect("it is written");
    told.until("['c@127.0.0.1'] did not remove it (yet)");
    told.until_status("b@127.0.0.1 is to be removed, and stays connected for now");
    assert_eq!(
        b.eval("application:get_all_env(rendez_unwanted)"),
        "[{'a@127.0.0.1',true}]"
    );
    b.wait_for_nodes(&["a@127.0.0.1", "c@127.0.0.1"], PATIENCE);
    // When the one that wants it has no sidecar any more, it goes.
    other.end("TERM");
    told.until("b@127.0.0.1 has left: no provider names it any longer");
    b.wait_for_nodes(&[], PATIENCE);
}

#[test]
#[cfg(feature = "cli")]
fn a_node_that_left_or_said_goodbye_is_not_connected_whatever_sidecar_comes() {
    if !beam_is_installed("a sidecar beside a node that left") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let mut b = Beam::start(&epmd, &loner("b@127.0.0.1"));
    let args = ["a@127.0.0.1", "--via", "list", "--node-list", "b@127.0.0.1"];
    // As another node does that removes this one.
    a.eval("application:set_env(rendez_left, node(), 'c@127.0.0.1')");
    for _ in 0..2 {
        let mut told = Told::start(&epmd, &args);
        told.until("a@127.0.0.1 has left the cluster (c@127.0.0.1 removed it)");
        told.until_status("b@127.0.0.1 is not connected: no attempt comes by itself");
        assert_eq!(a.eval("nodes()"), "[]");
        told.end("HUP");
    }
    let mut told = Told::start(&epmd, &args);
    told.until("a@127.0.0.1 has left the cluster");
    // Who connects to it wants it back.
    b.eval("pong = net_adm:ping('a@127.0.0.1')");
    told.until("a@127.0.0.1 is back in the cluster");
    a.wait_until("application:get_all_env(rendez_left)", PATIENCE, |env| {
        env == "[]"
    });
    told.end("TERM");

    // As `Rendez.leave` on the other node does.
    a.eval("application:set_env(rendez_left, 'b@127.0.0.1', true), erlang:disconnect_node('b@127.0.0.1')");
    b.wait_for_nodes(&[], PATIENCE);
    for _ in 0..2 {
        let mut told = Told::start(&epmd, &args);
        told.until("it said goodbye; it is connected again when a provider names it anew");
        told.until_status("b@127.0.0.1 is not connected: no attempt comes by itself");
        assert_eq!(a.eval("nodes()"), "[]");
        told.end("HUP");
    }
}

#[test]
#[cfg(feature = "cli")]
fn hidden_peers_and_a_node_without_a_name_of_its_own_stay_connected() {
    if !beam_is_installed("hidden peers beside the sidecar") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let _h = Beam::start(&epmd, &loner("h@127.0.0.1").flags(["-hidden"]));
    // Its name is given by the first node that it connects to, and it is hidden.
    let mut dynamic = Beam::start(&epmd, &BeamOptions::erl("undefined@127.0.0.1"));
    dynamic.eval("true = net_kernel:connect_node('a@127.0.0.1')");
    let given = dynamic.eval("node()");
    assert!(!given.contains("undefined"), "{given}");
    let mut told = Told::start(
        &epmd,
        &[
            "a@127.0.0.1",
            "--via",
            "list",
            "--node-list",
            "h@127.0.0.1",
            "--refresh-interval-ms",
            "100",
            "--on-removed",
            "disconnect:0s",
        ],
    );
    told.until_status("1 of 1 named nodes are connected");
    // Each status is asked for after several polls.
    for _ in 0..5 {
        let before = told.log.len();
        std::thread::sleep(Duration::from_millis(250));
        told.attached.signal("USR1");
        while !told.log[before..].contains("1 of 1 named nodes are connected") {
            assert!(told.lines.read_line(&mut told.log).expect("text") > 0);
        }
    }
    let hidden = a.eval("lists:sort(nodes(hidden))");
    assert!(
        hidden.contains(&given) && hidden.contains("'h@127.0.0.1'"),
        "{hidden}"
    );
    let log = told.end("TERM");
    assert_eq!(log.matches("event=\"joined\"").count(), 1, "{log}");
    assert_eq!(log.matches("event=\"left\"").count(), 0, "{log}");
}

/// Counts, and panics at it.
struct Faulty;

impl rendez::discovery::Counts for Faulty {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        panic!("a fault of the test")
    }
}

impl rendez::discovery::Provider for Faulty {
    fn kind(&self) -> &'static str {
        "faulty"
    }

    fn counters(&self) -> Option<rendez::discovery::SharedCounts> {
        Some(std::sync::Arc::new(Self))
    }

    fn run(self: Box<Self>, mut feed: rendez::discovery::Feed) -> rendez::discovery::Running {
        Box::pin(async move { while feed.signal().await != rendez::discovery::Signal::Stop {} })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_panics_ends_the_sidecar_with_a_word() {
    if !beam_is_installed("an engine that panics") {
        return;
    }
    let epmd = Epmd::start();
    let _a = Beam::start(&epmd, &loner("a@127.0.0.1"));
    let faulty = Source::new("faulty", || Ok(Box::new(Faulty)));
    let sidecar = Sidecar::start(options("a@127.0.0.1", &epmd), vec![faulty])
        .await
        .unwrap();
    let (ask, asked) = tokio::sync::mpsc::channel(1);
    let ended = tokio::spawn(sidecar.status_on(asked).run(std::future::pending()));
    // The status is what the fault is in; it is asked for until the engine runs.
    let error = timeout(PATIENCE, async {
        while !ended.is_finished() {
            let _ = ask.try_send(());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ended.await.unwrap().unwrap_err()
    });
    let error = error.await.expect("it ends");
    assert!(matches!(error, SidecarError::Broken(_)), "{error}");
    assert!(error.to_string().contains("a fault of the test"), "{error}");
}
