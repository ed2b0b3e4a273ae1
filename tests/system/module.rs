//! `via: Module`: a provider of the user's, with no more than Peerage's `poll/0`.

use crate::package::{iex, needs_packages, start_rendez, wait_for_mesh};
use crate::support::{Beam, Epmd};

/// What the README of Peerage shows, compiled on the node.
const PROVIDER: &str = r#"'Elixir.Code':eval_string(<<"defmodule Friends do def poll, do: [:\"one@127.0.0.1\", :\"two@127.0.0.1\"] end">>), ok"#;

#[test]
#[ignore = needs_packages!()]
fn a_module_with_just_poll_joins_two_nodes() {
    let epmd = Epmd::start();
    let mut nodes = ["one@127.0.0.1", "two@127.0.0.1"].map(|name| {
        let mut node = Beam::start(&epmd, &iex(name));
        node.eval(PROVIDER);
        start_rendez(&mut node, "[{via, 'Elixir.Friends'}]");
        node
    });
    wait_for_mesh(&mut nodes);
}

#[test]
#[ignore = needs_packages!()]
fn a_module_that_crashes_shows_its_error_and_keeps_what_it_said() {
    let epmd = Epmd::start();
    let mut one = Beam::start(&epmd, &iex("one@127.0.0.1"));
    let mut two = Beam::start(&epmd, &iex("two@127.0.0.1"));
    one.eval(PROVIDER);
    start_rendez(
        &mut one,
        "[{via, 'Elixir.Friends'}, {interval, <<\"300ms\">>}]",
    );
    one.wait_for_nodes(&["two@127.0.0.1"], crate::package::PATIENCE);
    one.eval(
        r#"'Elixir.Code':eval_string(<<"Code.put_compiler_option(:ignore_module_conflict, true); defmodule Friends do def poll, do: raise \"no friends today\" end">>), ok"#,
    );
    one.wait_until(
        "[maps:get(message, P, none) || P <- maps:get(providers, rendez:status(rendez))]",
        crate::package::PATIENCE,
        |errors| errors.contains("no friends today"),
    );
    assert_eq!(one.nodes(), ["two@127.0.0.1"]);
    two.wait_for_nodes(&["one@127.0.0.1"], crate::package::PATIENCE);
}
