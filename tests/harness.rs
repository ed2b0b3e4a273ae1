//! The harness itself: real `erl` and `iex` nodes start, answer, connect and end.

mod support;

use std::time::Duration;
use support::{Beam, BeamOptions, Epmd, Lan, beam_is_installed, free_tcp_port};

#[test]
fn nodes_start_answer_connect_and_end() {
    if !beam_is_installed("the harness's own test") {
        return;
    }
    let epmd = Epmd::start();
    let mut erl = Beam::start(&epmd, &BeamOptions::erl("plain@127.0.0.1"));
    let mut iex = Beam::start(&epmd, &BeamOptions::iex("elixir@127.0.0.1"));
    assert_eq!(erl.eval("X = 40, X + 2"), "42");
    assert_eq!(iex.eval("'Elixir.System':version() =/= <<>>"), "true");
    assert!(erl.try_eval("error(boom)").unwrap_err().contains("boom"));
    assert!(erl.nodes().is_empty());

    assert_eq!(
        erl.eval("net_kernel:connect_node('elixir@127.0.0.1')"),
        "true"
    );
    iex.wait_for_nodes(&["plain@127.0.0.1"], Duration::from_secs(20));

    erl.kill();
    iex.wait_for_nodes(&[], Duration::from_secs(20));
    assert!(erl.try_eval("1").is_err());
}

#[test]
fn hosts_of_a_network_reach_each_other() {
    let what = "the harness's test of network namespaces";
    if !beam_is_installed(what) {
        return;
    }
    let Some(lan) = Lan::new(2, what) else {
        return;
    };
    // One EPMD a host, on the one port that all of them agree on.
    let port = free_tcp_port();
    let epmds = [1, 2].map(|host| Epmd::start_on(port, &lan.enter(host)));
    let mut nodes = [1, 2].map(|host| {
        let name = format!("shop@{}", lan.address(host));
        let options = BeamOptions::erl(&name).within(&lan.enter(host));
        Beam::start(&epmds[usize::from(host) - 1], &options)
    });
    let [one, two] = &mut nodes;
    let connect = format!("net_kernel:connect_node('{}')", two.name);
    assert_eq!(one.eval(&connect), "true");
    two.wait_for_nodes(&[&one.name.clone()], Duration::from_secs(20));
}
