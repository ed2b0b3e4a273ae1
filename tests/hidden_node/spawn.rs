//! Processes that a BEAM starts on a Rust node, and a Rust node on a BEAM.

use rendez::etf::{Atom, Term};
use rendez::node::{Monitored, Process, Received, RpcError};

use super::rpc::{offering, same};
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_beam_starts_processes_as_on_a_beam() {
    if !beam_is_installed("spawn") {
        return;
    }
    let epmd = Epmd::start();
    let (mut a, _b) = (erl("a@127.0.0.1", &epmd), erl("b@127.0.0.1", &epmd));
    let _node = offering(RUST, &epmd).start().await.unwrap();
    same(
        &mut a,
        &[
            "P = spawn(NODE, erlang, send, [self(), hi]), receive hi -> node(P) after 300000 -> late end",
            "{P, R} = spawn_monitor(NODE, nomod, nofun, [1]),
             receive {'DOWN', R, process, P, Why} -> Why after 300000 -> late end",
            "{P, R} = spawn_monitor(NODE, erlang, exit, [bye]),
             receive {'DOWN', R, process, P, Why} -> Why after 300000 -> late end",
            "{P, R} = spawn_monitor(NODE, erlang, hd, [[1]]),
             receive {'DOWN', R, process, P, Why} -> Why after 300000 -> late end",
            "{P, R} = spawn_monitor(NODE, erlang, throw, [ball]),
             receive {'DOWN', R, process, P, {Why, Stack}} when is_list(Stack) -> Why after 300000 -> late end",
            "{P, R} = spawn_monitor(NODE, erlang, apply, [notafun, []]),
             receive {'DOWN', R, process, P, {Why, Stack}} when is_list(Stack) -> Why after 300000 -> late end",
            "{P, R} = spawn_monitor(NODE, timer, sleep, [60000]), exit(P, kill),
             receive {'DOWN', R, process, P, Why} -> Why after 300000 -> late end",
            "{P, R} = spawn_monitor(NODE, timer, sleep, [60000]), exit(P, normal), exit(P, {stop, now}),
             receive {'DOWN', R, process, P, Why} -> Why after 300000 -> late end",
            "process_flag(trap_exit, true), P = spawn_link(NODE, erlang, exit, [bye]),
             receive {'EXIT', P, Why} -> Why after 300000 -> late end",
            "process_flag(trap_exit, true), P = spawn_link(NODE, erlang, hd, [[1]]),
             receive {'EXIT', P, Why} -> Why after 300000 -> late end",
            "process_flag(trap_exit, true), P = spawn_link(NODE, timer, sleep, [200]), unlink(P),
             receive {'EXIT', P, Why} -> Why after 500 -> nothing end",
            "process_flag(trap_exit, true),
             {P, R} = spawn_opt(NODE, erlang, exit, [bye], [link, monitor, {priority, high}]),
             {receive {'EXIT', P, One} -> One after 300000 -> late end,
              receive {'DOWN', R, process, P, Two} -> Two after 300000 -> late end}",
            "R = spawn_request(NODE, erlang, exit, [bye], [{reply_tag, mine}, {monitor, [{tag, down}]}]),
             {receive {mine, R, ok, P} -> node(P) after 300000 -> late end,
              receive {down, R, process, _, Why} -> Why after 300000 -> late end}",
            "R = spawn_request(NODE, erlang, hd, [[1]], [{reply, no}, monitor]),
             receive {'DOWN', R, process, P, Why} -> {node(P), Why} after 300000 -> late end",
            "R = spawn_request(NODE, erlang, hd, [[1]], [{reply, success_only}]),
             receive {spawn_reply, R, ok, P} -> node(P) after 300000 -> late end",
            "R = spawn_request(NODE, erlang, hd, [[1]], [{priority, highest}]),
             receive {spawn_reply, R, error, Why} -> Why after 300000 -> late end",
            "R = spawn_request(NODE, erlang, hd, [[1]], [{nonsense, 1}]),
             receive {spawn_reply, R, error, Why} -> Why after 300000 -> late end",
            "R = spawn_request(NODE, timer, sleep, [100], [monitor]),
             {is_boolean(spawn_request_abandon(R)), receive {'DOWN', R, _, _, W} -> W after 300 -> nothing end} =/= late",
            "R = spawn_request(NODE, erlang, hd, [[1]], [{min_heap_size, 4096}, {fullsweep_after, 1},
                                                         {message_queue_data, off_heap}, {max_heap_size, 0}]),
             receive {spawn_reply, R, ok, P} -> node(P) after 300000 -> late end",
            // The order that a caller counts on: the reply before anything that the process sends.
            "lists:all(fun(_) ->
                 R = spawn_request(NODE, erlang, send, [self(), hello], []),
                 receive M -> (M =/= hello) andalso receive hello -> element(2, M) =:= R end after 300000 -> false end
             end, lists:seq(1, 500))",
        ]
        .map(|expression| expression.split_whitespace().collect::<Vec<_>>().join(" "))
        .each_ref()
        .map(String::as_str),
    );
    let mut iex = iex("iex@127.0.0.1", &epmd);
    let spawned = "Node.spawn(:\"rust@127.0.0.1\", :erlang, :send, [self(), :hi]); \
                   receive do x -> x after 300_000 -> :late end";
    assert_eq!(iex.elixir(spawned), ":hi");
    let monitored = "{pid, ref} = Node.spawn_monitor(:\"rust@127.0.0.1\", :erlang, :exit, [:bye]); \
                     receive do {:DOWN, ^ref, _, ^pid, why} -> why after 300_000 -> :late end";
    assert_eq!(iex.elixir(monitored), ":bye");
    let linked = "Process.flag(:trap_exit, true); \
                  pid = Node.spawn_link(:\"rust@127.0.0.1\", :m, :panic, []); \
                  receive do {:EXIT, ^pid, {why, _}} -> why after 300_000 -> :late end";
    assert_eq!(iex.elixir(linked), "{:panic, \"all is lost\"}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_a_beam_started_receives_and_ends_with_its_node() {
    if !beam_is_installed("a spawned process that receives") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let node = offering(RUST, &epmd)
        .function("m", "echo", 0, |mut context, _| async move {
            while let Received::Message(message) = context.process.receive().await {
                let Some(caller) = &context.caller else { break };
                let _ = context.process.send(caller, message).await;
            }
            Ok(Term::NIL)
        })
        .start()
        .await
        .unwrap();
    a.eval("{P, R} = spawn_monitor('rust@127.0.0.1', m, echo, [])");
    let echo = "P ! hello, receive hello -> heard after 300000 -> late end";
    assert_eq!(a.eval(echo), "heard");
    assert_eq!(
        a.eval("erpc:call(node(P), erlang, is_process_alive, [P])"),
        "true"
    );
    // The node stops: its processes end, or the connection does, whichever is seen first.
    node.stop().await;
    let down = a.eval("receive {'DOWN', R, process, P, Why} -> Why after 300000 -> late end");
    assert!(
        ["noconnection", "shutdown"].contains(&down.as_str()),
        "{down}"
    );
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_are_refused_with_system_limit() {
    if !beam_is_installed("system_limit") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let builder = offering(RUST, &epmd).functions_at_once(3);
    let _node = builder.start().await.unwrap();
    a.eval("Ps = [spawn('rust@127.0.0.1', timer, sleep, [60000]) || _ <- [1, 2, 3]]");
    let full = "catch erpc:call('rust@127.0.0.1', erlang, hd, [[1]])";
    let refused = a.eval(full);
    assert!(refused.contains("{erpc,system_limit}"), "{refused}");
    a.eval("[exit(P, kill) || P <- Ps]");
    a.wait_until(full, PATIENCE, |value| value == "1");
}

async fn next(process: &mut Process) -> Received {
    let received = process.receive_timeout(PATIENCE).await;
    received.expect("something comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_node_starts_processes_on_a_beam() {
    if !beam_is_installed("spawn from Rust") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let node = node(RUST, &epmd).await;
    let peer = name(&a.name);
    let mut own = node.process();

    let arguments = vec![own.pid().clone().into(), Term::atom("hi")];
    let started = own.spawn_on(&peer, "erlang", "send", arguments).await;
    assert_eq!(started.unwrap().node, Atom::new("a@127.0.0.1"));
    assert_eq!(next(&mut own).await, Received::Message(Term::atom("hi")));

    for (function, arguments, expected) in [
        ("exit", vec![Term::atom("bye")], "bye"),
        ("node", vec![], "normal"),
        (
            "nofun",
            vec![Term::Int(1)],
            "{undef,[{erlang,nofun,[1],[]}]}",
        ),
    ] {
        let started = own.spawn_monitor_on(&peer, "erlang", function, arguments.clone());
        let (pid, monitor) = started.await.unwrap();
        let down = Received::Down {
            reference: monitor,
            process: Monitored::Pid(pid),
            reason: expected.parse().unwrap(),
        };
        assert_eq!(next(&mut own).await, down);

        own.trap_exit(true);
        let from = own.spawn_link_on(&peer, "erlang", function, arguments);
        let from = from.await.unwrap();
        let reason = expected.parse().unwrap();
        assert_eq!(next(&mut own).await, Received::Exit { from, reason });
    }

    // Ours ends: theirs that is linked to it ends too.
    let ours = node.process();
    let sleep = vec![Term::atom("infinity")];
    let theirs = ours.spawn_link_on(&peer, "timer", "sleep", sleep.clone());
    let theirs = theirs.await.unwrap();
    own.exit(ours.pid(), Term::atom("over")).await;
    let watched = own.monitor(&theirs).await;
    let Received::Down {
        reference, reason, ..
    } = next(&mut own).await
    else {
        panic!("it goes on");
    };
    assert_eq!(reference, watched);
    assert!(
        ["over", "noproc"].map(Term::atom).contains(&reason),
        "{reason}"
    );

    // The other node ends.
    let started = own.spawn_monitor_on(&peer, "timer", "sleep", sleep);
    let (_, monitor) = started.await.unwrap();
    a.kill();
    let Received::Down {
        reference, reason, ..
    } = next(&mut own).await
    else {
        panic!("no end");
    };
    assert_eq!((reference, reason), (monitor, Term::atom("noconnection")));
    let nobody = own.spawn_on(&peer, "erlang", "node", vec![]).await;
    assert!(matches!(nobody, Err(RpcError::Connect(_))), "{nobody:?}");
}
