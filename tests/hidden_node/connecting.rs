//! How connections come about: through EPMD, without it, and when a name is taken.

use rendez::node::StartError;

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn epmd_refuses_a_second_node_of_the_name_and_the_error_says_what_to_do() {
    if !beam_is_installed("a name that is taken") {
        return;
    }
    let epmd = Epmd::start();
    let mut beam = erl("a@127.0.0.1", &epmd);
    let first = node(RUST, &epmd).await;
    for taken in [RUST, "a@127.0.0.1"] {
        let error = builder(taken, &epmd).start().await.unwrap_err();
        assert!(matches!(error, StartError::Epmd { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(taken), "{message}");
        assert!(message.contains("another name"), "{message}");
    }
    // Neither of those who have the names is disturbed.
    assert_eq!(beam.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
    first.stop().await;
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
    // The name is free at once.
    let second = node(RUST, &epmd).await;
    assert_eq!(beam.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_named_by_an_ipv6_address_connects_and_is_connected_to() {
    if !beam_is_installed("nodes with IPv6 addresses") {
        return;
    }
    let epmd = Epmd::start();
    let options = BeamOptions::erl("a@::1").flags(["-proto_dist", "inet6_tcp"]);
    let mut beam = Beam::start(&epmd, &options);
    let a = name("a@::1");
    let node = node("rust@::1", &epmd).await;
    assert_eq!(beam.eval("net_adm:ping('rust@::1')"), "pong");
    assert_eq!(node.nodes(), std::slice::from_ref(&a));
    node.disconnect(&a);
    beam.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
    node.ping(&a, PATIENCE).await.unwrap();
}
