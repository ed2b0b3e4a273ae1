//! What the tools of OTP make of the node.

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn net_adm_names_and_world_find_it() {
    if !beam_is_installed("net_adm") {
        return;
    }
    let epmd = Epmd::start();
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".hosts.erlang"), "'127.0.0.1'.\n").unwrap();
    let options = BeamOptions::erl("a@127.0.0.1")
        .flags(["-start_epmd", "false"])
        .env("HOME", &home.path().display().to_string());
    let mut beam = Beam::start(&epmd, &options);
    let node = node(RUST, &epmd).await;
    let names =
        "{ok, Names} = net_adm:names('127.0.0.1'), lists:sort([Name || {Name, _} <- Names])";
    assert_eq!(beam.eval(names), "[\"a\",\"rust\"]");
    assert_eq!(
        beam.eval("net_adm:world_list(['127.0.0.1'])"),
        "['a@127.0.0.1','rust@127.0.0.1']"
    );
    assert_eq!(beam.eval("nodes(hidden)"), "['rust@127.0.0.1']");
    assert_eq!(
        beam.eval("net_adm:world()"),
        "['a@127.0.0.1','rust@127.0.0.1']"
    );
    drop(node);
}
