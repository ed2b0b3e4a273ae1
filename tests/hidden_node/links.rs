//! Links and exit signals between a BEAM and a node in Rust.

use rendez::etf::{Atom, Pid, Term};
use rendez::node::{ExitReason, Node, Process, Received, SpawnOptions};

use crate::world::*;

/// A process under a name that ends with the reason that it is sent.
fn obedient(node: &Node, name: &'static str) -> Pid {
    let code = |mut process: Process| async move {
        loop {
            if let Received::Message(reason) = process.receive().await {
                return ExitReason(reason);
            }
        }
    };
    node.spawn_with(SpawnOptions::new().name(Atom::new(name)), code)
        .expect("the name is free")
}

/// What stands for `{Name, 'rust@...'}` resolved to its pid, in Erlang.
fn pid_of(erl: &mut Beam, name: &str) -> String {
    let variable = format!("Pid_{name}");
    erl.eval(&format!(
        "{variable} = erpc:call('{RUST}', erlang, whereis, [{name}], 300000), is_pid({variable})"
    ));
    variable
}

const EXIT: &str = "receive {'EXIT', _, Reason} -> Reason after 300000 -> late end";

/// In a fun, so that its variables are new.
fn fresh(erl: &mut Beam, code: &str) -> String {
    erl.eval(&format!("(fun() -> {code} end)()"))
}

async fn both() -> Option<(Epmd, Node, Beam)> {
    if !beam_is_installed("links") {
        return None;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    erl.eval("process_flag(trap_exit, true)");
    assert_eq!(erl.eval(&format!("net_adm:ping('{RUST}')")), "pong");
    Some((epmd, node, erl))
}

/// The main process of the BEAM, as it says itself.
async fn main_of(erl: &mut Beam, process: &mut Process) -> Pid {
    process.register(Atom::new("asking")).unwrap();
    erl.eval(&format!("{{asking, '{RUST}'}} ! self()"));
    let received = process.receive_timeout(PATIENCE).await;
    process.node().unregister(&Atom::new("asking"));
    match received {
        Some(Received::Message(Term::Pid(pid))) => *pid,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_linked_process_is_told_with_its_reason_however_large() {
    let Some((_epmd, node, mut erl)) = both().await else {
        return;
    };
    for (index, reason) in [
        "crash",
        "{shutdown, [1, 2.5, <<\"why\">>]}",
        // More than what a connection may have waiting of signals.
        "binary:copy(<<7>>, 40000000)",
        "normal",
    ]
    .into_iter()
    .enumerate()
    {
        let name = ["one", "two", "three", "four"][index];
        obedient(&node, name);
        let pid = pid_of(&mut erl, name);
        let told = fresh(
            &mut erl,
            &format!(
                "R = {reason}, link({pid}), monitor(process, {pid}), {pid} ! R, R =:= ({EXIT})"
            ),
        );
        assert_eq!(told, "true", "{reason}");
    }
    // The other way round.
    let mut process = node.process();
    process.trap_exit(true);
    for reason in ["crash", "binary:copy(<<7>>, 40000000)"] {
        process.register(Atom::new("asking")).unwrap();
        erl.eval(&format!(
            "spawn(fun() -> {{asking, '{RUST}'}} ! self(), receive go -> exit({reason}) end end)"
        ));
        let Some(Received::Message(Term::Pid(pid))) = process.receive_timeout(PATIENCE).await
        else {
            panic!("no pid");
        };
        node.unregister(&Atom::new("asking"));
        process.link(&pid).await;
        process.send(&*pid, Term::atom("go")).await.unwrap();
        match process.receive_timeout(PATIENCE).await {
            Some(Received::Exit {
                from,
                reason: Term::Binary(bytes),
            }) => {
                assert_eq!((from, bytes.len()), (*pid, 40_000_000));
            }
            Some(Received::Exit { from, reason }) => {
                assert_eq!((from, reason), (*pid, Term::atom("crash")));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_even_if_its_reason_cannot_be() {
    let Some((_epmd, node, mut erl)) = both().await else {
        return;
    };
    let options = SpawnOptions::new().name(Atom::new("odd"));
    let code = |mut process: Process| async move {
        process.receive().await;
        // Erlang has no such number.
        Term::Tuple(vec![Term::atom("mean"), Term::Float(f64::NAN)])
    };
    node.spawn_with(options, code).unwrap();
    let pid = pid_of(&mut erl, "odd");
    let told = fresh(
        &mut erl,
        &format!(
            "link({pid}), Monitor = monitor(process, {pid}), {pid} ! go, \
             Down = receive {{'DOWN', Monitor, process, _, Reason}} -> Reason end, {{Down, {EXIT}}}"
        ),
    );
    let why = r#"{unsendable,<<"Erlang has no infinite float and no NaN">>}"#;
    assert_eq!(told, format!("{{{why},{why}}}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_signals_end_processes_on_the_other_side() {
    let Some((_epmd, node, mut erl)) = both().await else {
        return;
    };
    let mut process = node.process();
    // From the BEAM: any reason, and kill, which cannot be trapped.
    for (name, reason, ended) in [("one", "stop", "stop"), ("two", "kill", "killed")] {
        let options = SpawnOptions::new().name(Atom::new(name));
        let options = if name == "two" {
            options.trap_exit()
        } else {
            options
        };
        let code = |mut process: Process| async move {
            loop {
                process.receive().await;
            }
        };
        let pid = node.spawn_with::<_, _, ()>(options, code).unwrap();
        let reference = process.monitor(&pid).await;
        let there = pid_of(&mut erl, name);
        erl.eval(&format!("exit({there}, {reason})"));
        match process.receive_timeout(PATIENCE).await {
            Some(Received::Down {
                reference: of,
                reason,
                ..
            }) => {
                assert_eq!((of, reason), (reference, Term::atom(ended)));
            }
            other => panic!("{other:?}"),
        }
    }
    // To the BEAM: trapped by its main process.
    let main = main_of(&mut erl, &mut process).await;
    process.exit(&main, Term::atom("told")).await;
    assert_eq!(fresh(&mut erl, EXIT), "told");
    // A process that is not there any more says so at once, both ways.
    let gone = fresh(
        &mut erl,
        "P = spawn(fun() -> ok end), register(gone, spawn(fun() -> receive X -> X end end)), P",
    );
    assert!(gone.starts_with('<'));
    let gone = fresh(
        &mut erl,
        "link(Pid_one), receive {'EXIT', P, R} -> {P =:= Pid_one, R} after 300000 -> late end",
    );
    assert_eq!(gone, "{true,noproc}");
    let there = node
        .whereis_on(&name("a@127.0.0.1"), "gone", PATIENCE)
        .await
        .unwrap()
        .unwrap();
    process.send(&there, Term::atom("end")).await.unwrap();
    process.trap_exit(true);
    let mut down = process.monitor(&there).await;
    while !matches!(process.receive_timeout(PATIENCE).await,
        Some(Received::Down { reason, .. }) if reason == Term::atom("noproc"))
    {
        down = process.monitor(&there).await;
    }
    let _ = down;
    process.link(&there).await;
    match process.receive_timeout(PATIENCE).await {
        Some(Received::Exit { from, reason }) => {
            assert_eq!((from, reason), (there, Term::atom("noproc")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unlinked_is_not_told() {
    let Some((_epmd, node, mut erl)) = both().await else {
        return;
    };
    // Unlinked from the BEAM, and linked and unlinked again and again: both sides agree on it.
    obedient(&node, "one");
    let one = pid_of(&mut erl, "one");
    let told = fresh(
        &mut erl,
        &format!(
            "[begin link({one}), unlink({one}) end || _ <- lists:seq(1, 1000)], {one} ! crash, \
             Ref = monitor(process, {one}), receive {{'DOWN', Ref, _, _, _}} -> ok end, \
             receive {{'EXIT', _, R}} -> R after 200 -> none end"
        ),
    );
    assert_eq!(told, "none");
    obedient(&node, "two");
    let two = pid_of(&mut erl, "two");
    let told = fresh(
        &mut erl,
        &format!(
            "[begin link({two}), unlink({two}) end || _ <- lists:seq(1, 1000)], link({two}), {two} ! crash, {EXIT}"
        ),
    );
    assert_eq!(told, "crash");
    // Unlinked from here.
    let mut process = node.process();
    process.trap_exit(true);
    let main = main_of(&mut erl, &mut process).await;
    for _ in 0..1000 {
        process.link(&main).await;
        process.unlink(&main);
    }
    assert_eq!(
        fresh(&mut erl, "receive {'EXIT', _, R} -> R after 0 -> none end"),
        "none"
    );
    let linked = "[P || P <- element(2, process_info(self(), links)), node(P) =/= node()]";
    erl.wait_until(linked, PATIENCE, |links| links == "[]");
    process.link(&main).await;
    erl.wait_until(linked, PATIENCE, |links| links != "[]");
    drop(process);
    assert_eq!(fresh(&mut erl, EXIT), "normal");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_connection_breaks_every_link_and_monitor_on_both_sides() {
    let Some((_epmd, node, mut erl)) = both().await else {
        return;
    };
    const COUNT: usize = 50;
    let names: Vec<_> = (0..COUNT)
        .map(|_| {
            node.spawn(|mut process: Process| async move {
                process.receive().await;
            })
        })
        .collect();
    let mut process = node.process();
    process.trap_exit(true);
    let main = main_of(&mut erl, &mut process).await;
    // The BEAM links to and monitors each of them.
    process
        .send(
            &main,
            Term::List(names.iter().cloned().map(Term::from).collect()),
        )
        .await
        .unwrap();
    let linked = fresh(
        &mut erl,
        "receive Pids when is_list(Pids) -> [begin link(P), monitor(process, P) end || P <- Pids], length(Pids) after 300000 -> late end",
    );
    assert_eq!(linked, COUNT.to_string());
    let down = process.monitor(&main).await;
    process.link(&main).await;
    // Those of this node: a main process has links of its own.
    erl.wait_until(
        &format!(
            "length([P || P <- element(2, process_info(self(), links)), is_pid(P), node(P) =:= '{RUST}'])"
        ),
        PATIENCE,
        |linked| linked == (COUNT + 1).to_string(),
    );
    erl.eval(&format!("erlang:disconnect_node('{RUST}')"));
    let fired = fresh(
        &mut erl,
        &format!(
            "[receive {{'EXIT', _, noconnection}} -> ok after 300000 -> exit(late) end || _ <- lists:seq(0, {COUNT})], \
             [receive {{'DOWN', _, process, _, noconnection}} -> ok after 300000 -> exit(late) end || _ <- lists:seq(1, {COUNT})], \
             all"
        ),
    );
    assert_eq!(fired, "all");
    // Here too: what was linked from outside and does not trap exits ends, what traps is told.
    let (mut exit, mut monitor) = (false, false);
    while !(exit && monitor) {
        match process.receive_timeout(PATIENCE).await {
            Some(Received::Exit { from, reason }) => {
                assert_eq!((&from, reason), (&main, Term::atom("noconnection")));
                exit = true;
            }
            Some(Received::Down {
                reference, reason, ..
            }) => {
                assert_eq!((&reference, reason), (&down, Term::atom("noconnection")));
                monitor = true;
            }
            other => panic!("{other:?}"),
        }
    }
    let start = std::time::Instant::now();
    while names.iter().any(|pid| node.is_alive(pid)) {
        assert!(start.elapsed() < PATIENCE, "a linked process lives on");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // And everything works anew.
    process.link(&main).await;
    process.exit(&main, Term::atom("again")).await;
    assert_eq!(fresh(&mut erl, EXIT), "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_has_its_processes_tell_their_peers() {
    let Some((_epmd, node, mut erl)) = both().await else {
        return;
    };
    obedient(&node, "one");
    let one = pid_of(&mut erl, "one");
    erl.eval(&format!("link({one})"));
    // One that traps exits ends in its own way.
    let polite = |mut process: Process| async move {
        loop {
            let received = process.receive().await;
            if process.is_shutdown(&received) {
                return Term::atom("politely");
            }
        }
    };
    let options = SpawnOptions::new().name(Atom::new("polite")).trap_exit();
    node.spawn_with(options, polite).unwrap();
    let polite = pid_of(&mut erl, "polite");
    erl.eval(&format!("Ref = monitor(process, {polite})"));
    // What a call asks comes after the link and the monitor, so they are here when it is answered.
    erl.eval(&format!("erpc:call('{RUST}', erlang, node, [], 300000)"));
    node.stop().await;
    assert_eq!(fresh(&mut erl, EXIT), "shutdown");
    let down = "receive {'DOWN', Ref, _, _, Why} -> Why after 300000 -> late end";
    assert_eq!(erl.eval(down), "politely");
    erl.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
}
