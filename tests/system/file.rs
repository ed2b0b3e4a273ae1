//! `via: file`: names in a file that changes while nodes run.

use std::fs;

use crate::package::{PATIENCE, erl, iex, needs_packages, start_with, wait_for_mesh};
use crate::support::{Beam, Epmd};

#[test]
#[ignore = needs_packages!()]
fn a_node_joins_when_its_name_is_written_and_a_mistake_costs_nobody() {
    let epmd = Epmd::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("peers");
    fs::write(&path, "one@127.0.0.1\ntwo@127.0.0.1  # iex\n").unwrap();
    let environment = format!("[{{via, file}}, {{path, \"{}\"}}]", path.display());
    let mut nodes = vec![
        start_with(&epmd, &erl("one@127.0.0.1"), &environment),
        start_with(&epmd, &iex("two@127.0.0.1"), &environment),
    ];
    wait_for_mesh(&mut nodes);

    fs::write(&path, "two@127.0.0.1\nthree\n").unwrap();
    nodes[0].wait_until(
        "[maps:get(message, P, none) || P <- maps:get(providers, rendez:status(rendez))]",
        PATIENCE,
        |errors| errors.contains("line 2") && errors.contains("three"),
    );
    wait_for_mesh(&mut nodes);

    nodes.push(Beam::start(&epmd, &erl("three@127.0.0.1")));
    fs::write(
        &path,
        r#"["one@127.0.0.1", "two@127.0.0.1", "three@127.0.0.1"]"#,
    )
    .unwrap();
    let took = wait_for_mesh(&mut nodes);
    println!("file: connected {took:?} after the name was written");
}
