//! Nodes with the package in them, started as a user's application would start it.

use std::time::Duration;

use crate::support::{Beam, BeamOptions, Epmd};

/// Why these tests do not run by themselves.
macro_rules! needs_packages {
    () => {
        "needs the built packages: run scripts/test system"
    };
}
pub(crate) use needs_packages;

/// Long enough for any busy machine; what a test measures, it prints.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Where `scripts/test` built the Erlang application.
fn erlang_ebin() -> String {
    std::env::var("RENDEZ_TEST_ERLANG_EBIN")
        .expect("RENDEZ_TEST_ERLANG_EBIN: run scripts/test system, which builds the packages")
}

/// Where `scripts/test` built the Elixir package.
fn elixir_ebin() -> String {
    std::env::var("RENDEZ_TEST_ELIXIR_EBIN")
        .expect("RENDEZ_TEST_ELIXIR_EBIN: run scripts/test system, which builds the packages")
}

/// A plain `erl` node that has the Erlang application in its path.
pub fn erl(name: &str) -> BeamOptions {
    BeamOptions::erl(name).path(erlang_ebin().trim_end_matches('/'))
}

/// An `iex --name` node that has the Elixir package in its path.
pub fn iex(name: &str) -> BeamOptions {
    BeamOptions::iex(name).path(elixir_ebin().trim_end_matches('/'))
}

/// Configures the application on a running node, as `sys.config` or `config.exs` would, and starts it.
pub fn start_rendez(node: &mut Beam, environment: &str) {
    let started = node.eval(&format!(
        "[application:set_env(rendez, K, V) || {{K, V}} <- {environment}], \
         element(1, application:ensure_all_started(rendez))"
    ));
    assert_eq!(started, "ok");
}

/// Starts a node, then the application on it.
pub fn start_with(epmd: &Epmd, options: &BeamOptions, environment: &str) -> Beam {
    let mut node = Beam::start(epmd, options);
    start_rendez(&mut node, environment);
    node
}

/// Waits until every node sees all others, and gives the time that took.
pub fn wait_for_mesh(nodes: &mut [Beam]) -> Duration {
    let start = std::time::Instant::now();
    let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    for node in nodes {
        let others: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| *name != node.name)
            .collect();
        node.wait_for_nodes(&others, PATIENCE);
    }
    start.elapsed()
}
