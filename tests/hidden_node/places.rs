//! Where a node listens and under which name: port ranges, one port for all without EPMD, IPv6, names and
//! cookies that depend on the peer.

use std::net::{Ipv6Addr, SocketAddr};
use std::process::{Child, Stdio};

use rendez::node::{Builder, StartError};
use rendez::{NodeName, Secret};

use crate::support::{beam_command, skip};
use crate::world::*;

async fn started(builder: Builder) -> Node {
    builder.start().await.expect("the node starts")
}

/// Connects from both sides in turn.
async fn both_ways(beam: &mut Beam, node: &Node) {
    let peer: NodeName = name(&beam.name);
    node.ping(&peer, PATIENCE).await.unwrap();
    node.disconnect(&peer);
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
    let ping = format!("net_adm:ping('{}')", node.name());
    assert_eq!(beam.eval(&ping), "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_free_port_of_a_range_is_taken() {
    if !beam_is_installed("a range of ports") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = erl("a@127.0.0.1", &epmd);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let first = taken.local_addr().unwrap().port();
    let within = |ports| {
        builder(RUST, &epmd)
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .listen_ports(ports)
    };
    let error = within(first..=first).start().await.unwrap_err();
    assert!(matches!(error, StartError::NoFreePort { .. }), "{error:?}");
    let node = started(within(first..=first.saturating_add(50))).await;
    let port = beam.eval("element(2, erl_epmd:port_please(\"rust\", {127,0,0,1}))");
    let port: u16 = port.parse().unwrap();
    assert!(port > first && port <= first.saturating_add(50), "{port}");
    both_ways(&mut beam, &node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_without_epmd_meet_on_one_port() {
    if !beam_is_installed("nodes without EPMD") {
        return;
    }
    let port = free_tcp_port();
    // Nothing listens there.
    let epmd = Epmd::elsewhere(free_tcp_port());
    let text = port.to_string();
    let options = BeamOptions::erl("a@127.0.0.1").flags([
        "-start_epmd",
        "false",
        "-erl_epmd_port",
        &text,
        "-kernel",
        "inet_dist_use_interface",
        "{127,0,0,1}",
    ]);
    let mut beam = Beam::start(&epmd, &options);
    let node = builder("rust@127.0.0.2", &epmd)
        .listen(SocketAddr::from(([127, 0, 0, 2], 0)))
        .port_of_all(port);
    let node = started(node).await;
    both_ways(&mut beam, &node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ipv6() {
    if !beam_is_installed("IPv6") {
        return;
    }
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        skip("distribution over IPv6", "this machine has no IPv6");
        return;
    }
    let port = free_tcp_port();
    let _daemon = Daemon::start(port);
    while tokio::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port))
        .await
        .is_err()
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let epmd = Epmd::elsewhere(port);
    let flags = ["-start_epmd", "false", "-proto_dist", "inet6_tcp"];
    let mut beam = Beam::start(&epmd, &BeamOptions::erl("a@::1").flags(flags));
    let node = builder("rust@::1", &epmd).listen((Ipv6Addr::LOCALHOST, 0).into());
    both_ways(&mut beam, &started(node).await).await;
}

/// An EPMD that listens at ::1 only.
struct Daemon(Child);

impl Daemon {
    fn start(port: u16) -> Self {
        let mut command = beam_command("epmd");
        command.args(["-port", &port.to_string(), "-address", "::1"]);
        Self(command.stderr(Stdio::null()).spawn().expect("epmd starts"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_a_cookie_of_its_own() {
    if !beam_is_installed("a cookie for one peer") {
        return;
    }
    let epmd = Epmd::start();
    let mut ordinary = erl("a@127.0.0.1", &epmd);
    let options = BeamOptions::erl("b@127.0.0.1").cookie("another");
    let mut other = Beam::start(&epmd, &options.flags(["-start_epmd", "false"]));
    let cookie = Secret::new("another");
    let node = builder(RUST, &epmd).peer_cookie(name("b@127.0.0.1"), cookie);
    let node = started(node).await;
    both_ways(&mut ordinary, &node).await;
    both_ways(&mut other, &node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_named_by_a_beam_as_long_as_they_are_connected() {
    if !beam_is_installed("a name from a BEAM") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = erl("a@127.0.0.1", &epmd);
    let nameless = || builder("undefined@127.0.0.1", &epmd).named_by(name("a@127.0.0.1"));
    let node = started(nameless()).await;
    assert_ne!(node.name().name(), "undefined");
    assert_eq!(node.name().host(), "127.0.0.1");
    node.ping(&name("a@127.0.0.1"), PATIENCE).await.unwrap();
    assert_eq!(beam.eval("nodes(hidden)"), format!("['{}']", node.name()));
    assert_eq!(
        beam.eval(&format!("net_adm:ping('{}')", node.name())),
        "pong"
    );

    let second = started(nameless()).await;
    assert_ne!(second.name(), node.name());
    beam.eval(&format!("erlang:disconnect_node('{}')", node.name()));
    let stopped = async {
        while !matches!(
            node.connect(&name("a@127.0.0.1")).await,
            Err(rendez::dist::ConnectError::Stopped)
        ) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, stopped).await.unwrap();

    let nobody = builder("undefined@127.0.0.1", &epmd).named_by(name("nobody@127.0.0.1"));
    let error = nobody.start().await.unwrap_err();
    assert!(matches!(error, StartError::Unnamed { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_has_another_creation() {
    if !beam_is_installed("a node that comes back") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = erl("a@127.0.0.1", &epmd);
    let a = name("a@127.0.0.1");
    let mut creations = Vec::new();
    for _ in 0..3 {
        let node = node(RUST, &epmd).await;
        node.ping(&a, PATIENCE).await.unwrap();
        creations.push(node.identity().creation);
        assert_eq!(beam.eval("nodes(hidden)"), "['rust@127.0.0.1']");
        // It crashes: nobody is told.
        drop(node);
    }
    creations.sort_unstable();
    creations.dedup();
    assert_eq!(creations.len(), 3);
}
