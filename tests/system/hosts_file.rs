//! `via: hosts_file`: the `.hosts.erlang` of OTP.

use std::fs;

use crate::package::{PATIENCE, erl, iex, needs_packages, start_with, wait_for_mesh};
use crate::support::{Beam, Epmd};

#[test]
#[ignore = needs_packages!()]
fn nodes_on_a_host_of_the_file_in_the_home_directory_and_a_node_by_its_name() {
    let epmd = Epmd::start();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".hosts.erlang");
    fs::write(&path, "%% ours\n'127.0.0.1'.\n").unwrap();
    let at_home = |options: crate::support::BeamOptions| {
        options.env("HOME", &home.path().display().to_string())
    };
    let environment = "[{via, hosts_file}, {interval, <<\"500ms\">>}]";
    let mut nodes = vec![
        start_with(&epmd, &at_home(erl("red@127.0.0.1")), environment),
        start_with(&epmd, &at_home(iex("green@127.0.0.1")), environment),
    ];
    wait_for_mesh(&mut nodes);
    // What OTP reads is the same file.
    let theirs = nodes[0].eval("net_adm:host_file()");
    assert_eq!(theirs, "['127.0.0.1']");

    // The full stop is missing: told with the line, and nobody is lost.
    fs::write(&path, "'127.0.0.1'.\n'blue@127.0.0.1'\n").unwrap();
    nodes[0].wait_until(
        "[maps:get(message, P, none) || P <- maps:get(providers, rendez:status(rendez))]",
        PATIENCE,
        |errors| errors.contains("line 2"),
    );
    wait_for_mesh(&mut nodes);

    fs::write(&path, "'blue@127.0.0.1'.\n").unwrap();
    nodes.push(Beam::start(&epmd, &erl("blue@127.0.0.1")));
    wait_for_mesh(&mut nodes);
}
