//! What a BEAM asks of every node: each question gets a sane answer, and none is left waiting.

use super::rpc::{offering, same};
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_every_node_is_asked_is_answered() {
    if !beam_is_installed("what every node is asked") {
        return;
    }
    let epmd = Epmd::start();
    let (mut a, _b) = (erl("a@127.0.0.1", &epmd), erl("b@127.0.0.1", &epmd));
    let node = offering(RUST, &epmd).start().await.unwrap();
    same(
        &mut a,
        &[
            "net_adm:ping(NODE)",
            "gen_server:call({net_kernel, NODE}, {is_auth, node()}, 300000)",
            "gen_server:call({net_kernel, NODE}, ticktime, 300000)",
            "gen_server:call({net_kernel, NODE}, longnames, 300000)",
            "gen_server:call({net_kernel, NODE}, nodename, 300000)",
            "catch gen_server:call({nobody_is_called_this, NODE}, hello, 300000)",
            "rpc:call(NODE, erlang, node, [])",
            "rpc:call(NODE, erlang, is_alive, [])",
            "rpc:call(NODE, erlang, whereis, [nobody_is_called_this])",
            "is_pid(rpc:call(NODE, erlang, whereis, [net_kernel]))",
            "is_pid(rpc:call(NODE, erlang, whereis, [rex]))",
            "lists:member(rex, rpc:call(NODE, erlang, registered, []))",
            "rpc:call(NODE, erlang, nodes, [this])",
            "P = rpc:call(NODE, erlang, whereis, [rex]), rpc:call(NODE, erlang, is_process_alive, [P])",
            "rpc:call(NODE, erlang, function_exported, [erlang, exit, 1])",
            "rpc:call(NODE, erlang, function_exported, [nomod, nofun, 1])",
            "rpc:call(NODE, erlang, system_info, [wordsize])",
            "rpc:call(NODE, erlang, system_info, [endian])",
            "rpc:call(NODE, erlang, system_info, [logical_processors_available])",
            "{badrpc, {'EXIT', {badarg, [_ | _]}}} = rpc:call(NODE, erlang, system_info, [nonsense]), ok",
            "{badrpc, {'EXIT', {badarg, [_ | _]}}} = rpc:call(NODE, erlang, nodes, [nonsense]), ok",
            "rpc:call(NODE, net_kernel, get_net_ticktime, [])",
            "rpc:call(NODE, net_adm, ping, [node()])",
            "rpc:call(NODE, net_adm, ping, ['nobody@127.0.0.1'])",
            "is_list(rpc:call(NODE, os, getpid, []))",
            // A C node's way, and what a node asks of those that come up.
            "{rex, NODE} ! {self(), {call, erlang, hd, [[1]], user}}, receive {rex, V} -> V after 300000 -> late end",
            "{rex, NODE} ! {self(), features_request},
             receive {features_reply, NODE, Fs} -> lists:member(erpc, Fs) after 300000 -> late end",
            "{net_kernel, NODE} ! nonsense, {rex, NODE} ! [non, sense], net_adm:ping(NODE)",
        ]
        .map(|expression| expression.split_whitespace().collect::<Vec<_>>().join(" "))
        .each_ref()
        .map(String::as_str),
    );
    assert_eq!(
        a.eval("rpc:call('rust@127.0.0.1', erlang, nodes, [])"),
        "[]"
    );
    let others = a.eval("lists:sort(rpc:call('rust@127.0.0.1', erlang, nodes, [hidden]))");
    assert!(others.contains("a@127.0.0.1"), "{others}");
    let processes = "rpc:call('rust@127.0.0.1', erlang, system_info, [process_count]) > 2";
    assert_eq!(a.eval(processes), "true");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_does_not_have_is_undef_and_never_waited_for() {
    if !beam_is_installed("what a Rust node does not have") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let node = node(RUST, &epmd).await;
    // What observer, observer_cli, recon, cpu_sup and the shell ask of a node.
    for (module, function, arguments) in [
        ("erlang", "memory", "[]"),
        ("erlang", "processes", "[]"),
        ("erlang", "statistics", "[run_queue]"),
        ("erlang", "get_cookie", "[]"),
        ("erlang", "halt", "[]"),
        ("code", "which", "[observer_backend]"),
        ("code", "ensure_loaded", "[observer_cli]"),
        ("code", "load_binary", "[m, f, <<>>]"),
        ("observer_backend", "sys_info", "[]"),
        ("application", "which_applications", "[]"),
        ("init", "stop", "[]"),
        ("global", "whereis_name", "[x]"),
        ("shell", "whereis", "[]"),
        ("Elixir.IEx.Broker", "shell", "[]"),
    ] {
        let call =
            format!("rpc:call('rust@127.0.0.1', '{module}', {function}, {arguments}, 300000)");
        let answer = a.eval(&call);
        let undef = "{badrpc,{'EXIT',{undef,[{";
        assert!(answer.starts_with(undef), "{call}: {answer}");
    }
    let otp = a.eval("rpc:call('rust@127.0.0.1', erlang, system_info, [otp_release], 300000)");
    assert!(otp.starts_with("{badrpc,{'EXIT',{badarg,"), "{otp}");
    // A question that OTP's net_kernel and rex would leave without an answer for ever.
    for server in ["net_kernel", "rex"] {
        let call = format!("gen_server:call({{{server}, 'rust@127.0.0.1'}}, nonsense, infinity)");
        assert!(a.eval(&call).contains("notsup"));
    }
    // Servers that a hidden node does not have.
    for server in [
        "global_name_server",
        "auth",
        "erl_epmd",
        "user",
        "init",
        "kernel_sup",
    ] {
        let call =
            format!("catch gen_server:call({{{server}, 'rust@127.0.0.1'}}, hello, infinity)");
        let answer = a.eval(&call);
        assert!(answer.contains("noproc"), "{server}: {answer}");
    }
    assert_eq!(a.eval("global:sync()"), "ok");
    drop(node);
}
