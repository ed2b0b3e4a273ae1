//! Monitors between a BEAM and a node in Rust, by pid and by name.

use rendez::etf::{Atom, Term};
use rendez::node::{ExitReason, Monitored, Node, Process, Received, SpawnOptions};

use crate::world::*;

fn obedient(node: &Node, name: &'static str) {
    let code = |mut process: Process| async move {
        loop {
            if let Received::Message(reason) = process.receive().await {
                return ExitReason(reason);
            }
        }
    };
    node.spawn_with(SpawnOptions::new().name(Atom::new(name)), code)
        .expect("the name is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beam_monitors_by_pid_and_by_name() {
    if !beam_is_installed("monitors") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    let down = "receive {'DOWN', Ref, process, Object, Reason} -> {Object, Reason} after 300000 -> late end";
    let eval = |erl: &mut Beam, code: &str| erl.eval(&format!("(fun() -> {code} end)()"));

    obedient(&node, "one");
    let by_name =
        format!("Ref = monitor(process, {{one, '{RUST}'}}), {{one, '{RUST}'}} ! done, {down}");
    assert_eq!(
        eval(&mut erl, &by_name),
        format!("{{{{one,'{RUST}'}},done}}")
    );
    // Not there: at once.
    assert_eq!(
        eval(&mut erl, &by_name),
        format!("{{{{one,'{RUST}'}},noproc}}")
    );
    obedient(&node, "two");
    let pid = format!("Pid = erpc:call('{RUST}', erlang, whereis, [two], 300000)");
    let by_pid = format!(
        "{pid}, Ref = monitor(process, Pid), Pid ! <<0:8000000>>, {{Pid, R}} = ({}), byte_size(R)",
        down
    );
    assert_eq!(eval(&mut erl, &by_pid), "1000000");
    // Taken back: nothing is told.
    obedient(&node, "three");
    let taken_back = format!(
        "Ref = monitor(process, {{three, '{RUST}'}}), demonitor(Ref), \
         Other = monitor(process, {{three, '{RUST}'}}), {{three, '{RUST}'}} ! done, \
         receive {{'DOWN', Other, _, _, R}} -> R end, receive {{'DOWN', Ref, _, _, _}} -> told after 200 -> silent end"
    );
    assert_eq!(eval(&mut erl, &taken_back), "silent");

    let mut iex = iex("b@127.0.0.1", &epmd);
    let monitored = format!(
        "ref = Process.monitor({{:nobody, :\"{RUST}\"}}); \
         receive do {{:DOWN, ^ref, :process, object, reason}} -> {{object, reason}} after 300000 -> :late end"
    );
    assert_eq!(
        iex.elixir(&monitored),
        format!("{{{{:nobody, :\"{RUST}\"}}, :noproc}}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beams_processes_are_monitored_by_pid_and_by_name() {
    if !beam_is_installed("monitors of a BEAM's processes") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    let a = name("a@127.0.0.1");
    let worker = "register(worker, spawn(fun() -> receive Reason -> exit(Reason) end end))";
    let named = || Monitored::Name(Atom::new("worker"), Atom::new("a@127.0.0.1"));
    let mut process = node.process();
    let ended = async |process: &mut Process| match process.receive_timeout(PATIENCE).await {
        Some(Received::Down {
            reference,
            process,
            reason,
        }) => (reference, process, reason),
        other => panic!("{other:?}"),
    };

    // The first connects by itself.
    let reference = process.monitor(named()).await;
    let noproc = (reference, named(), Term::atom("noproc"));
    assert_eq!(ended(&mut process).await, noproc);

    erl.eval(worker);
    let by_name = process.monitor(named()).await;
    let pid = node
        .whereis_on(&a, "worker", PATIENCE)
        .await
        .unwrap()
        .unwrap();
    let by_pid = process.monitor(&pid).await;
    let back = process.monitor(&pid).await;
    process.demonitor(&back);
    process.send(&pid, Term::atom("done")).await.unwrap();
    for _ in 0..2 {
        let (reference, monitored, reason) = ended(&mut process).await;
        assert_eq!(reason, Term::atom("done"));
        match monitored {
            Monitored::Pid(of) => assert_eq!((of, reference), (pid.clone(), by_pid.clone())),
            Monitored::Name(..) => assert_eq!(reference, by_name),
        }
    }
    // The peer ends: noconnection, for what is monitored and for what is monitored next.
    erl.eval(worker);
    let reference = process.monitor(named()).await;
    erl.kill();
    let lost = (reference, named(), Term::atom("noconnection"));
    assert_eq!(ended(&mut process).await, lost);
    let reference = process.monitor(named()).await;
    let lost = (reference, named(), Term::atom("noconnection"));
    assert_eq!(ended(&mut process).await, lost);
    assert_eq!(
        process.waiting(),
        0,
        "nothing of the monitor that was taken back"
    );
}
