//! `via: command`: names that a program prints.

use std::fs;

use crate::package::{PATIENCE, erl, iex, needs_packages, start_rendez, wait_for_mesh};
use crate::support::{Beam, Epmd};

#[test]
#[ignore = needs_packages!()]
fn a_program_names_the_nodes_and_is_ended_with_the_cluster() {
    let epmd = Epmd::start();
    let directory = tempfile::tempdir().unwrap();
    let (files, pid) = (directory.path().join("files"), directory.path().join("pid"));
    let script = format!(
        "ls -l /proc/self/fd > {}; echo one@127.0.0.1; echo two@127.0.0.1",
        files.display()
    );
    let environment =
        format!("[{{via, command}}, {{command, [<<\"sh\">>, <<\"-c\">>, <<\"{script}\">>]}}]");
    let mut nodes = ["one@127.0.0.1", "two@127.0.0.1"].map(|name| {
        let options = if name.starts_with("one") {
            erl(name)
        } else {
            iex(name)
        };
        let mut node = Beam::start(&epmd, &options);
        start_rendez(&mut node, &environment);
        node
    });
    wait_for_mesh(&mut nodes);
    // A program that outlived its node must not keep the node's ports and files.
    let files = fs::read_to_string(&files).unwrap();
    assert!(!files.contains("socket:"), "{files}");

    // One that hangs is told, and ends with the cluster.
    let script = format!("echo $$ > {}; exec sleep 1000", pid.display());
    let [one, _] = &mut nodes;
    assert_eq!(one.eval("application:stop(rendez)"), "ok");
    start_rendez(
        one,
        &format!("[{{command, [<<\"sh\">>, <<\"-c\">>, <<\"{script}\">>]}}, {{timeout, 1000}}]"),
    );
    let runs = format!(
        "case file:read_file(\"{}\") of \
         {{ok, Pid}} -> filelib:is_dir(\"/proc/\" ++ string:trim(binary_to_list(Pid))); _ -> none end",
        pid.display()
    );
    one.wait_until(&runs, PATIENCE, |runs| runs == "true");
    assert_eq!(one.eval("application:stop(rendez)"), "ok");
    one.wait_until(&runs, PATIENCE, |runs| runs == "false");
}
