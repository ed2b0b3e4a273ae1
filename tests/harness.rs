//! The harness itself: real `erl` and `iex` nodes start, answer, connect and end.

mod support;

use std::time::Duration;
use support::{Beam, BeamOptions, Epmd, beam_is_installed};

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
