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
    // The sidecar has registered again: whoever wants to can find it.
    let ping = format!("net_adm:ping('{}')", sidecar.own);
    b.wait_until(&ping, PATIENCE, |answer| answer == "pong");
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
        if told.is_none()
            && dead
                .iter()
                .all(|node| log.contains(node) && log.contains("name_resolution"))
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
        Self::start_within(&[], epmd, cookie, args)
    }

    /// As [`Self::start`], behind words such as `ip netns exec NAME`.
    fn start_within(prefix: &[&str], epmd: &Epmd, cookie: &str, args: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_rendez");
        let mut command = match prefix {
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            [] => Command::new(program),
        };
        let command = command
            .arg("attach")
            .args(args)
            .env("ERL_EPMD_PORT", epmd.port.to_string())
            .env("RENDEZ_COOKIE", cookie)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Self(command.expect("the command starts"))
    }

    /// Sends a signal by name, and gives the exit status and the whole log, of which `before` was read already.
    fn end(mut self, signal: &str, mut log: String, mut rest: impl Read) -> (Option<i32>, String) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill").success());
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
    for signal in ["TERM", "INT"] {
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
        let (code, log) = attached.end(signal, log, lines);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains(&format!("SIG{signal}: stopping")), "{log}");
        assert!(!log.contains(COOKIE), "the cookie is in the log:\n{log}");
        for line in log.lines() {
            assert!(
                serde_json::from_str::<serde_json::Value>(line).is_ok(),
                "{line}"
            );
        }
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
