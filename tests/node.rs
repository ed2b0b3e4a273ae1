//! The hidden node against real `erl` nodes.
#![cfg(feature = "node")]

mod support;

use std::time::Duration;

use rendez::dist::{CloseReason, ConnectError, DialOptions, diagnose, dial};
use rendez::etf::Term;
use rendez::node::{CallError, Dest, NodeEvent, Registration, StartError};
use rendez::{Node, NodeName, Secret};
use support::beam::{Beam, BeamOptions, Epmd, beam_is_installed};
use tokio::time::timeout;

/// Far more than anything here needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);
const COOKIE: &str = "rendez-tests";

fn name(text: &str) -> NodeName {
    text.parse().expect("a node name")
}

fn builder(own: &str, epmd: &Epmd) -> rendez::node::Builder {
    Node::builder(own)
        .cookie(Secret::new(COOKIE))
        .epmd_port(epmd.port)
}

async fn node(own: &str, epmd: &Epmd) -> Node {
    builder(own, epmd).start().await.expect("the node starts")
}

fn integers(values: &[i32]) -> Term {
    let values = values.iter().map(|&value| Term::Int(value.into()));
    Term::List(values.collect())
}

fn erl(epmd: &Epmd, name: &str) -> Beam {
    Beam::start(epmd, &BeamOptions::erl(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_and_call_and_what_a_call_that_fails_says() {
    if !beam_is_installed("ping and call") {
        return;
    }
    let epmd = Epmd::start();
    let beam = erl(&epmd, "a@127.0.0.1");
    let (node, a) = (node("rust@127.0.0.1", &epmd).await, name(&beam.name));

    node.ping(&a, PATIENCE).await.unwrap();
    let call = |module, function, arguments| node.call(&a, module, function, arguments, PATIENCE);
    let nodes = call("erlang", "nodes", vec![]).await.unwrap();
    assert_eq!(nodes, Term::NIL, "a hidden node is not among nodes()");
    let reversed = call("lists", "reverse", vec![integers(&[1, -2, 3])]).await;
    assert_eq!(reversed.unwrap(), integers(&[3, -2, 1]));
    // Larger than any buffer on the way, in both directions.
    let large = Term::binary(vec![7; 3 << 20]);
    let same = call("erlang", "hd", vec![Term::List(vec![large.clone()])]).await;
    assert_eq!(same.unwrap(), large);

    let failed = call("erlang", "no_such_function", vec![])
        .await
        .unwrap_err();
    assert!(matches!(failed, CallError::BadRpc(_)), "{failed}");
    assert!(failed.to_string().contains("undef"), "{failed}");
    let late = node
        .call(
            &a,
            "timer",
            "sleep",
            vec![Term::Int(60_000)],
            Duration::from_millis(50),
        )
        .await;
    assert!(matches!(late, Err(CallError::Timeout(_))), "{late:?}");
    let server = Dest::registered("no_such_server", &a).unwrap();
    let nobody = node
        .call_server(server, Term::atom("x"), PATIENCE)
        .await
        .unwrap_err();
    assert!(matches!(nobody, CallError::Exited(_)), "{nobody}");
    assert!(nobody.to_string().contains("noproc"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_get_each_their_own_answer() {
    if !beam_is_installed("many calls at once") {
        return;
    }
    let epmd = Epmd::start();
    let beam = erl(&epmd, "a@127.0.0.1");
    let (node, a) = (node("rust@127.0.0.1", &epmd).await, name(&beam.name));
    let calls = (0..500).map(|value| {
        let (node, a) = (node.clone(), a.clone());
        tokio::spawn(async move {
            let answer = node.call(&a, "erlang", "abs", vec![Term::Int(-value)], PATIENCE);
            (value, answer.await)
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (value, answer) = call.await.unwrap();
        assert_eq!(answer.unwrap(), Term::Int(value));
    }
    assert_eq!(node.nodes(), [a], "all over one connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beam_pings_and_connects_to_us() {
    if !beam_is_installed("a BEAM connects to us") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = erl(&epmd, "a@127.0.0.1");
    let node = node("rust@127.0.0.1", &epmd).await;
    let mut events = node.subscribe();
    assert_eq!(beam.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
    assert_eq!(beam.eval("nodes()"), "[]");
    assert_eq!(beam.eval("nodes(hidden)"), "['rust@127.0.0.1']");
    let up = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    let NodeEvent::Up(peer) = up else {
        panic!("{up:?}");
    };
    assert_eq!((peer.name.as_str(), peer.hidden), ("a@127.0.0.1", false));

    // Nobody waits for a process that is not there.
    let asked = "(catch gen_server:call({nobody, 'rust@127.0.0.1'}, hello, 300000))";
    assert!(beam.eval(asked).contains("noproc"));
    let monitored = "R = erlang:monitor(process, {nobody, 'rust@127.0.0.1'}), \
                     receive {'DOWN', R, process, _, Why} -> Why after 300000 -> late end";
    assert_eq!(beam.eval(monitored), "noproc");
    let spawned = "(catch erpc:call('rust@127.0.0.1', erlang, node, [], 300000))";
    assert_eq!(beam.eval(spawned), "'rust@127.0.0.1'");

    // Messages for nobody do no harm, and the connection stays.
    beam.eval(
        "{nobody, 'rust@127.0.0.1'} ! {hello, [<<1:3>>, fun() -> ok end, make_ref(), #{a => 1.5}]}",
    );
    assert_eq!(beam.eval("net_adm:ping('rust@127.0.0.1')"), "pong");

    // The BEAM ends the connection; a call that waits is told.
    let a = name(&beam.name);
    let sleeping = {
        let (node, a) = (node.clone(), a.clone());
        let args = vec![Term::Int(60_000)];
        tokio::spawn(async move { node.call(&a, "timer", "sleep", args, PATIENCE * 3).await })
    };
    // The call is under way once the sleeper is there.
    beam.wait_until(
        "length([P || P <- processes(), {current_function, {timer, sleep, 1}} =:= process_info(P, current_function)])",
        PATIENCE,
        |sleepers| sleepers == "1",
    );
    beam.eval("erlang:disconnect_node('rust@127.0.0.1')");
    let lost = timeout(PATIENCE, sleeping).await.unwrap().unwrap();
    let Err(CallError::NodeDown { reason, .. }) = &lost else {
        panic!("{lost:?}");
    };
    assert_eq!(*reason, Some(CloseReason::ByPeer));
    let down = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert_eq!(down, NodeEvent::Down(peer, CloseReason::ByPeer));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_connecting_at_once_end_with_one_connection() {
    if !beam_is_installed("both sides at once") {
        return;
    }
    let epmd = Epmd::start();
    // One name before and one after ours: each side has to give way once.
    for own in ["a@127.0.0.1", "z@127.0.0.1"] {
        let mut beam = erl(&epmd, "m@127.0.0.1");
        let node = node(own, &epmd).await;
        let m = name(&beam.name);
        for _ in 0..20 {
            let (ours, m2) = (node.clone(), m.clone());
            let ours = tokio::spawn(async move { ours.ping(&m2, PATIENCE).await });
            assert_eq!(beam.eval(&format!("net_adm:ping('{own}')")), "pong");
            ours.await.unwrap().unwrap();
            assert_eq!(node.nodes(), vec![m.clone()]);
            beam.eval(&format!("erlang:disconnect_node('{own}')"));
            while !node.nodes().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_node_cannot_be_connected_to() {
    if !beam_is_installed("why a node cannot be connected to") {
        return;
    }
    let mut epmd = Epmd::start();
    let mut beam = Beam::start(&epmd, &BeamOptions::erl("a@127.0.0.1").cookie("another"));
    let node = node("rust@127.0.0.1", &epmd).await;
    let why = async |peer: &str| {
        let error = node.connect(&name(peer)).await.unwrap_err();
        // Whatever else it says, never the cookie.
        assert!(!error.to_string().contains(COOKIE), "{error}");
        (error.reason(), error.to_string())
    };

    let (reason, message) = why("a@127.0.0.1").await;
    assert_eq!(reason, "cookie", "{message}");
    assert!(
        message.contains("not the cookie of a@127.0.0.1"),
        "{message}"
    );
    // The BEAM says so too, in a log that comes when it comes.
    let start = std::time::Instant::now();
    while !beam.log().contains("rejected") {
        assert!(start.elapsed() < PATIENCE, "{}", beam.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let (reason, message) = why("nobody@127.0.0.1").await;
    assert_eq!(reason, "not_registered", "{message}");
    let (reason, message) = why("a@localhost").await;
    assert_eq!(reason, "name_kind", "{message}");
    // A label of more than 63 characters: no name server is asked for it.
    let unresolvable = format!("a@{}.invalid", "x".repeat(64));
    let (reason, message) = why(&unresolvable).await;
    assert_eq!(reason, "name_resolution", "{message}");
    let (reason, message) = why("rust@127.0.0.1").await;
    assert_eq!(reason, "failed", "{message}");

    // From outside, for a node that cannot connect either: the same words.
    let options = DialOptions {
        epmd_port: epmd.port,
        ..DialOptions::default()
    };
    let on_behalf = |of: &str, peer: &str| {
        let (of, peer) = (name(of), name(peer));
        let (identity, options) = (node.identity().clone(), options.clone());
        async move { diagnose(&identity, &of, &peer, &options).await }
    };
    let cookie = on_behalf("b@127.0.0.1", "a@127.0.0.1").await;
    assert!(
        matches!(cookie, Some(ConnectError::Cookie { .. })),
        "{cookie:?}"
    );
    let kind = on_behalf("b@host", "a@127.0.0.1").await;
    assert!(
        matches!(kind, Some(ConnectError::NameKind { .. })),
        "{kind:?}"
    );

    // A node that was killed may be registered for a moment longer than it listens; one that is stopped stays.
    let stopped = DialOptions {
        port: Some(1),
        ..options.clone()
    };
    let refused = diagnose(
        node.identity(),
        &name("b@127.0.0.1"),
        &name("a@127.0.0.1"),
        &stopped,
    )
    .await;
    assert_eq!(refused.map(|error| error.reason()), Some("refused"));

    epmd.kill();
    let (reason, message) = why("a@127.0.0.1").await;
    assert_eq!(reason, "no_epmd", "{message}");
    assert!(message.contains(&epmd.port.to_string()), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_is_given_up_on() {
    if !beam_is_installed("a node that hangs") {
        return;
    }
    let epmd = Epmd::start();
    let beam = erl(&epmd, "a@127.0.0.1");
    let a = name(&beam.name);
    let node = builder("rust@127.0.0.1", &epmd)
        .setup_time(Duration::from_secs(4))
        .tick_time(Duration::from_secs(2))
        .start()
        .await
        .unwrap();
    let connection = node.connect(&a).await.unwrap();
    // With ticks of its own every 15 s the BEAM would be silent too long for us; we are not for it.
    let stopped = std::process::Command::new("kill")
        .args(["-STOP", &beam.pid().to_string()])
        .status();
    assert!(stopped.unwrap().success());
    let reason = timeout(PATIENCE, connection.closed()).await.unwrap();
    assert!(matches!(reason, CloseReason::Silent(_)), "{reason}");
    let error = node.connect(&a).await.unwrap_err();
    assert_eq!(error.reason(), "timeout", "{error}");
    assert!(error.to_string().contains("handshake"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_keep_an_idle_connection() {
    if !beam_is_installed("ticks") {
        return;
    }
    let epmd = Epmd::start();
    let options = BeamOptions::erl("a@127.0.0.1").flags(["-kernel", "net_ticktime", "4"]);
    let mut beam = Beam::start(&epmd, &options);
    let a = name(&beam.name);
    let node = builder("rust@127.0.0.1", &epmd)
        .tick_time(Duration::from_secs(4))
        .start()
        .await
        .unwrap();
    let connection = node.connect(&a).await.unwrap();
    // Either side would have given up by now without ticks.
    let ended = timeout(Duration::from_secs(8), connection.closed()).await;
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(beam.eval("nodes(hidden)"), "['rust@127.0.0.1']");
}

#[tokio::test(flavor = "multi_thread")]
async fn short_names_and_a_name_that_is_taken() {
    if !beam_is_installed("short names") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = erl(&epmd, "a@localhost");
    let node = node("rust@localhost", &epmd).await;
    node.ping(&name("a@localhost"), PATIENCE).await.unwrap();
    assert_eq!(beam.eval("nodes(hidden)"), "[rust@localhost]");

    let taken = builder("rust@localhost", &epmd).start().await;
    assert!(matches!(taken, Err(StartError::Epmd { .. })), "{taken:?}");
    node.stop().await;
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
    assert_eq!(
        node.connect(&name("a@localhost")).await.unwrap_err(),
        ConnectError::Stopped
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn epmd_comes_late_and_comes_back() {
    if !beam_is_installed("EPMD comes late") {
        return;
    }
    let mut epmd = Epmd::start();
    let mut beam = erl(&epmd, "a@127.0.0.1");
    epmd.kill();
    let refused = builder("strict@127.0.0.1", &epmd).start().await;
    assert!(
        matches!(refused, Err(StartError::Epmd { .. })),
        "{refused:?}"
    );
    let node = builder("rust@127.0.0.1", &epmd)
        .registration(Registration::WhenPossible)
        .start()
        .await
        .unwrap();
    for _ in 0..2 {
        epmd.restart();
        beam.wait_until("net_adm:ping('rust@127.0.0.1')", PATIENCE, |answer| {
            answer == "pong"
        });
        node.disconnect(&name(&beam.name));
        beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
        epmd.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_peer_has_not_missed_yet_is_replaced() {
    if !beam_is_installed("an earlier connection that is still there") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = erl(&epmd, "a@127.0.0.1");
    let node = node("rust@127.0.0.1", &epmd).await;
    let options = DialOptions {
        epmd_port: epmd.port,
        ..DialOptions::default()
    };
    // What is left of a node whose machine lost power: the peer still holds this connection.
    let earlier = dial(node.identity(), &name(&beam.name), &options, || true).await;
    let earlier = earlier.unwrap();
    assert_eq!(beam.eval("nodes(hidden)"), "['rust@127.0.0.1']");
    node.ping(&name(&beam.name), PATIENCE).await.unwrap();
    assert_eq!(beam.eval("nodes(hidden)"), "['rust@127.0.0.1']");
    drop(earlier);
    node.ping(&name(&beam.name), PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beam_with_another_cookie_does_not_get_in() {
    if !beam_is_installed("a BEAM with another cookie") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = Beam::start(&epmd, &BeamOptions::erl("a@127.0.0.1").cookie("another"));
    let node = node("rust@127.0.0.1", &epmd).await;
    assert_eq!(beam.eval("net_adm:ping('rust@127.0.0.1')"), "pang");
    assert!(node.nodes().is_empty());
}
