//! `via: list`: names in the configuration.

use crate::package::{erl, iex, needs_packages, start_rendez, start_with, wait_for_mesh};
use crate::support::{Beam, Epmd};

const NODES: &str =
    "[{via, list}, {node_list, ['one@127.0.0.1', 'two@127.0.0.1', 'three@127.0.0.1']}]";

#[test]
#[ignore = needs_packages!()]
fn an_erlang_and_two_elixir_nodes_with_a_list_of_names() {
    let epmd = Epmd::start();
    let mut nodes = [
        start_with(&epmd, &erl("one@127.0.0.1"), NODES),
        start_with(&epmd, &iex("two@127.0.0.1"), NODES),
        start_with(&epmd, &iex("three@127.0.0.1"), NODES),
    ];
    let took = wait_for_mesh(&mut nodes);
    println!("list: three nodes whole {took:?} after the last one started");
}

#[test]
#[ignore = needs_packages!()]
fn a_node_that_is_down_is_tried_until_it_is_there_and_its_absence_is_explained() {
    let epmd = Epmd::start();
    let mut one = start_with(&epmd, &erl("one@127.0.0.1"), NODES);
    let (why, _) = one.wait_until(
        "[maps:get(message, N, <<>>) || N <- maps:get(nodes, rendez:status(rendez))]",
        crate::package::PATIENCE,
        |why| why.contains("EPMD"),
    );
    assert!(why.contains("two"), "{why}");

    let mut two = Beam::start(&epmd, &erl("two@127.0.0.1"));
    one.wait_for_nodes(&["two@127.0.0.1"], crate::package::PATIENCE);
    start_rendez(&mut two, NODES);
}
