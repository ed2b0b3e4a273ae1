//! Following who comes and goes, from both sides.

use rendez::dist::CloseReason;
use rendez::node::{NodeEvent, NodeEvents};

use crate::world::*;

async fn next(events: &mut NodeEvents) -> NodeEvent {
    let next = tokio::time::timeout(PATIENCE, events.next());
    next.await.expect("in time").expect("the node is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_and_go_with_their_kind_and_why() {
    if !beam_is_installed("monitor_nodes as a stream") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let options = BeamOptions::erl("b@127.0.0.1").flags(["-start_epmd", "false", "-hidden"]);
    let b = Beam::start(&epmd, &options);
    let node = node(RUST, &epmd).await;
    let mut events = node.monitor_nodes();
    // Both directions are one to it.
    a.eval("pong = net_adm:ping('rust@127.0.0.1')");
    let NodeEvent::Up(peer) = next(&mut events).await else {
        panic!("it is up first");
    };
    assert_eq!((peer.name, peer.hidden), (name("a@127.0.0.1"), false));
    node.connect(&name("b@127.0.0.1")).await.unwrap();
    let NodeEvent::Up(peer) = next(&mut events).await else {
        panic!("it is up first");
    };
    assert_eq!((peer.name, peer.hidden), (name("b@127.0.0.1"), true));
    a.eval("erlang:disconnect_node('rust@127.0.0.1')");
    let NodeEvent::Down(peer, reason) = next(&mut events).await else {
        panic!("it is down");
    };
    assert_eq!(
        (peer.name, reason),
        (name("a@127.0.0.1"), CloseReason::ByPeer)
    );
    node.disconnect(&name("b@127.0.0.1"));
    let NodeEvent::Down(peer, reason) = next(&mut events).await else {
        panic!("it is down");
    };
    assert_eq!(
        (peer.name, reason),
        (name("b@127.0.0.1"), CloseReason::Local)
    );
    drop((b, node));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beam_is_told_of_hidden_and_visible_ones() {
    if !beam_is_installed("net_kernel:monitor_nodes") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    a.eval("ok = net_kernel:monitor_nodes(true, #{node_type => all, nodedown_reason => true})");
    for (visible, kind) in [(false, "hidden"), (true, "visible")] {
        let builder = builder(RUST, &epmd);
        let builder = if visible { builder.visible() } else { builder };
        let node = builder.start().await.unwrap();
        node.connect(&name(&a.name)).await.unwrap();
        // In a fun, so that the variables are new each time.
        let up = a.eval(
            "(fun() -> receive {nodeup, N, #{node_type := T}} -> {N, T} after 300000 -> late end end)()",
        );
        assert_eq!(up, format!("{{'rust@127.0.0.1',{kind}}}"));
        node.stop().await;
        let down = a.eval(
            "(fun() ->
               receive {nodedown, N, #{node_type := T, nodedown_reason := W}} -> {N, T, W}
               after 300000 -> late end
             end)()",
        );
        assert_eq!(
            down,
            format!("{{'rust@127.0.0.1',{kind},connection_closed}}")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_tells_who_comes_and_goes() {
    if !beam_is_installed("the example monitor_nodes") {
        return;
    }
    let epmd = Epmd::start();
    let arguments = ["watcher@127.0.0.1", COOKIE, "a@127.0.0.1"];
    let mut watcher = Example::start("monitor_nodes", &arguments, epmd.port);
    assert_eq!(watcher.line(), "watcher@127.0.0.1 watches");
    let line = watcher.line();
    assert!(
        line.starts_with("a@127.0.0.1 cannot be reached: "),
        "{line}"
    );
    for _ in 0..2 {
        let a = erl("a@127.0.0.1", &epmd);
        let mut line = watcher.line();
        // It may have been met while it came up.
        while line.contains("cannot be reached") {
            line = watcher.line();
        }
        assert_eq!(line, "a@127.0.0.1 is up, a visible node");
        drop(a);
        let line = watcher.line();
        assert!(line.starts_with("a@127.0.0.1 is down: "), "{line}");
    }
    assert!(watcher.end("INT").success());
}
