//! A visible node: `nodes()` has it, and `global` on every BEAM counts on it.

use std::time::{Duration, Instant};

use rendez::etf::Term;
use rendez::node::Global;

use crate::world::*;

async fn visible(own: &str, epmd: &Epmd) -> (Node, Global) {
    let node = builder(own, epmd).visible().start().await;
    let node = node.expect("the node starts");
    let global = node.global().expect("a visible node has it");
    (node, global)
}

fn wait(beam: &mut Beam, expression: &str, value: &str) {
    beam.wait_until(expression, PATIENCE, |now| now == value);
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn sync(global: &Global) {
    let synced = tokio::time::timeout(PATIENCE, global.sync()).await;
    synced.expect("the Rust node synchronises in time");
}

/// What `global` on a BEAM warned of, but for its parting from the Rust node: when that ends, a BEAM may hear
/// of it from another before it notices itself, as when a BEAM ends.
fn warnings(beam: &mut Beam) -> Vec<String> {
    let log = beam.log();
    let of_global = log.lines().filter(|line| line.contains("'global' at"));
    let of_others =
        of_global.filter(|line| !line.contains("disconnect from node 'rust@127.0.0.1'"));
    of_others.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_among_the_nodes_and_all_that_know_each_other_know_it() {
    if !beam_is_installed("a visible node") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let mut b = erl("b@127.0.0.1", &epmd);
    b.eval("pong = net_adm:ping('a@127.0.0.1'), ok = global:sync()");
    b.eval("yes = global:register_name(before, self())");
    let (node, global) = visible(RUST, &epmd).await;
    assert_eq!(a.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
    assert_eq!(a.eval("nodes(hidden)"), "[]");
    // It is introduced to the rest, as a BEAM would be.
    a.wait_for_nodes(&["b@127.0.0.1", RUST], PATIENCE);
    b.wait_for_nodes(&["a@127.0.0.1", RUST], PATIENCE);
    sync(&global).await;
    for beam in [&mut a, &mut b] {
        assert_eq!(beam.eval("global:sync()"), "ok");
    }
    assert!(global.whereis_name(&Term::atom("before")).is_some());

    // Names of one are names of all.
    let process = node.process();
    assert!(
        global
            .register_name(Term::atom("ours"), process.pid())
            .await
    );
    a.eval("yes = global:register_name(theirs, self())");
    assert!(
        !global
            .register_name(Term::atom("theirs"), process.pid())
            .await
    );
    for beam in [&mut a, &mut b] {
        wait(
            beam,
            "lists:sort(global:registered_names())",
            "[before,ours,theirs]",
        );
        assert_eq!(
            beam.eval("node(global:whereis_name(ours))"),
            "'rust@127.0.0.1'"
        );
    }
    assert_eq!(global.registered_names().len(), 3);
    assert_eq!(a.eval("global:register_name(ours, self())"), "no");
    let theirs = global.whereis_name(&Term::atom("theirs")).unwrap();
    assert_eq!(theirs.node.as_str(), "a@127.0.0.1");
    b.eval("global:send(theirs, hello)");
    assert_eq!(
        a.eval("receive hello -> heard after 300000 -> late end"),
        "heard"
    );
    a.eval("global:unregister_name(theirs)");
    until("the name is gone", || {
        global.whereis_name(&Term::atom("theirs")).is_none()
    })
    .await;
    assert!(global.unregister_name(&Term::atom("before")).await);
    wait(&mut b, "global:whereis_name(before)", "undefined");
    drop(process);
    for beam in [&mut a, &mut b] {
        wait(beam, "global:whereis_name(ours)", "undefined");
    }

    // Locks are asked for at all nodes.
    let nodes = "[node() | nodes()]";
    assert_eq!(
        a.eval("global:trans({thing, self()}, fun() -> length(nodes()) end)"),
        "2"
    );
    assert_eq!(
        a.eval(&format!("global:set_lock({{thing, a}}, {nodes}, 0)")),
        "true"
    );
    assert_eq!(
        b.eval(&format!("global:set_lock({{thing, b}}, {nodes}, 0)")),
        "false"
    );
    let only = "['rust@127.0.0.1']";
    assert_eq!(
        b.eval(&format!("global:set_lock({{thing, b}}, {only}, 0)")),
        "false"
    );
    assert_eq!(a.eval("global:del_lock({thing, a})"), "true");
    assert_eq!(
        b.eval(&format!("global:set_lock({{thing, b}}, {nodes}, 0)")),
        "true"
    );
    assert_eq!(b.eval("global:del_lock({thing, b})"), "true");

    let thing = Term::atom("thing");
    let tried = global.trans(thing.clone(), 0, async {
        let set = format!("global:set_lock({{thing, a}}, {nodes}, 0)");
        (a.eval(&set), a.eval(&set.replace("thing", "other")))
    });
    assert_eq!(tried.await, Some(("false".to_owned(), "true".to_owned())));
    assert_eq!(
        a.eval(&format!("global:set_lock({{thing, a}}, {nodes}, 0)")),
        "true"
    );
    assert_eq!(global.trans(thing.clone(), 1, async {}).await, None);
    // Given up half way, it is given back.
    assert_eq!(a.eval("global:del_lock({thing, a})"), "true");
    let for_ever = global.trans(thing.clone(), 0, std::future::pending::<()>());
    let given_up = tokio::time::timeout(Duration::from_millis(500), for_ever);
    assert!(given_up.await.is_err());
    assert_eq!(
        b.eval(&format!("global:set_lock({{thing, b}}, {nodes}, 5)")),
        "true"
    );
    assert_eq!(
        b.eval("global:del_lock({thing, b}), global:del_lock({other, a})"),
        "true"
    );

    // It goes; the others stay together, and go on.
    node.stop().await;
    a.wait_for_nodes(&["b@127.0.0.1"], PATIENCE);
    b.wait_for_nodes(&["a@127.0.0.1"], PATIENCE);
    assert_eq!(a.eval("global:sync()"), "ok");
    assert_eq!(b.eval("global:register_name(after_it, self())"), "yes");
    wait(
        &mut a,
        "global:whereis_name(after_it) =/= undefined",
        "true",
    );

    // And comes back under the same name.
    let (node, global) = visible(RUST, &epmd).await;
    node.connect(&name(&b.name)).await.unwrap();
    a.wait_for_nodes(&["b@127.0.0.1", RUST], PATIENCE);
    sync(&global).await;
    assert_eq!(a.eval("global:sync()"), "ok");
    assert!(global.whereis_name(&Term::atom("after_it")).is_some());
    // Nobody has parted from anybody meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    a.wait_for_nodes(&["b@127.0.0.1", RUST], PATIENCE);
    b.wait_for_nodes(&["a@127.0.0.1", RUST], PATIENCE);
    assert_eq!(
        [warnings(&mut a), warnings(&mut b)],
        [const { Vec::<String>::new() }; 2]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_brings_parts_of_a_cluster_together() {
    if !beam_is_installed("a visible node between others") {
        return;
    }
    let epmd = Epmd::start();
    let mut beams: Vec<Beam> = ["a", "b", "c"]
        .map(|short| erl(&format!("{short}@127.0.0.1"), &epmd))
        .into();
    for beam in &mut beams {
        beam.eval("Keeper = spawn(fun F() -> receive _ -> F() end end)");
        beam.eval("yes = global:register_name(node(), Keeper)");
    }
    // The same name in two parts: the process on the lesser node keeps it.
    for beam in &mut beams[1..] {
        beam.eval("Double = spawn(fun F() -> receive _ -> F() end end), yes = global:register_name(same, Double)");
    }
    let (first, one) = visible("one@127.0.0.1", &epmd).await;
    let (second, two) = visible("two@127.0.0.1", &epmd).await;
    let (kept, lost) = (first.process(), second.process());
    assert!(one.register_name(Term::atom("ours"), kept.pid()).await);
    assert!(two.register_name(Term::atom("ours"), lost.pid()).await);
    for beam in &beams[..2] {
        first.connect(&name(&beam.name)).await.unwrap();
    }
    second.connect(&name(&beams[2].name)).await.unwrap();
    first.connect(second.name()).await.unwrap();
    let all = [
        "a@127.0.0.1",
        "b@127.0.0.1",
        "c@127.0.0.1",
        "one@127.0.0.1",
        "two@127.0.0.1",
    ];
    for beam in &mut beams {
        let others: Vec<&str> = all.into_iter().filter(|node| *node != beam.name).collect();
        beam.wait_for_nodes(&others, PATIENCE);
        wait(beam, "length(global:registered_names())", "5");
        assert_eq!(
            beam.eval("node(global:whereis_name(same))"),
            "'b@127.0.0.1'"
        );
        assert_eq!(
            beam.eval("node(global:whereis_name(ours))"),
            "'one@127.0.0.1'"
        );
        assert_eq!(beam.eval("global:sync()"), "ok");
    }
    for global in [&one, &two] {
        until("all names", || global.registered_names().len() == 5).await;
        until("all nodes", || global.nodes().len() == 4).await;
        assert_eq!(
            global.whereis_name(&Term::atom("ours")),
            Some(kept.pid().clone())
        );
    }
    assert!(second.whereis(&rendez::etf::Atom::new("nobody")).is_none());
    assert!(
        !second.is_alive(lost.pid()),
        "it was killed, as its name was another's"
    );
    wait(&mut beams[2], "is_process_alive(Double)", "false");
    for beam in &mut beams {
        assert_eq!(warnings(beam), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_with_the_same_name_one_is_killed_here_or_there() {
    if !beam_is_installed("the same name twice") {
        return;
    }
    let epmd = Epmd::start();
    // The lesser node decides: once that is the BEAM, once the Rust node.
    let mut a = erl("a@127.0.0.1", &epmd);
    let mut z = erl("z@127.0.0.1", &epmd);
    let (node, global) = visible("m@127.0.0.1", &epmd).await;
    let (mine, kept) = (node.process(), node.process());
    assert!(global.register_name(Term::atom("first"), mine.pid()).await);
    assert!(global.register_name(Term::atom("second"), kept.pid()).await);
    for (beam, name) in [(&mut a, "first"), (&mut z, "second")] {
        beam.eval("P = spawn(fun F() -> receive _ -> F() end end)");
        beam.eval(&format!("yes = global:register_name({name}, P)"));
        beam.eval("pong = net_adm:ping('m@127.0.0.1')");
    }
    for beam in [&mut a, &mut z] {
        beam.wait_until("length(nodes())", PATIENCE, |count| count == "2");
        beam.eval("ok = global:sync()");
        wait(beam, "node(global:whereis_name(first))", "'a@127.0.0.1'");
        wait(beam, "node(global:whereis_name(second))", "'m@127.0.0.1'");
    }
    sync(&global).await;
    until("the name of another", || {
        global
            .whereis_name(&Term::atom("first"))
            .is_some_and(|pid| pid.node.as_str() == "a@127.0.0.1")
    })
    .await;
    assert_eq!(
        global.whereis_name(&Term::atom("second")),
        Some(kept.pid().clone())
    );
    until("it is killed", || !node.is_alive(mine.pid())).await;
    assert!(node.is_alive(kept.pid()));
    assert_eq!(a.eval("is_process_alive(P)"), "true");
    wait(&mut z, "is_process_alive(P)", "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_it_takes_care_that_partitions_do_not_overlap() {
    if !beam_is_installed("a visible node that is lost") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let mut b = erl("b@127.0.0.1", &epmd);
    let (node, global) = visible(RUST, &epmd).await;
    b.eval("pong = net_adm:ping('a@127.0.0.1')");
    a.eval("pong = net_adm:ping('rust@127.0.0.1')");
    b.wait_for_nodes(&["a@127.0.0.1", RUST], PATIENCE);
    sync(&global).await;
    a.eval("ok = global:sync()");
    // One connection only breaks: as between BEAMs, the third leaves one of the two, or both if it hears of it
    // from both before either has left.
    a.eval("erlang:disconnect_node('rust@127.0.0.1')");
    let start = Instant::now();
    loop {
        let seen = (node.nodes().len(), a.nodes().len(), b.nodes().len());
        if [(0, 0, 0), (0, 1, 1), (1, 0, 1)].contains(&seen) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It heals when somebody connects them again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    loop {
        a.eval("net_adm:ping('b@127.0.0.1')");
        let _ = node.connect(&name(&a.name)).await;
        let _ = node.connect(&name(&b.name)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if node.nodes().len() == 2 && a.nodes().len() == 2 && b.nodes().len() == 2 {
            break;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "they do not come together again"
        );
    }
    sync(&global).await;
    assert_eq!(a.eval("global:sync()"), "ok");
    assert_eq!(b.eval("global:register_name(healed, self())"), "yes");
    until("the name", || {
        global.whereis_name(&Term::atom("healed")).is_some()
    })
    .await;
    wait(&mut a, "is_pid(global:whereis_name(healed))", "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_disconnect_one_or_to_leave_harms_no_connection_of_others() {
    if !beam_is_installed("a visible node that disconnects and leaves") {
        return;
    }
    let epmd = Epmd::start();
    let mut beams = ["a", "b", "c"].map(|short| erl(&format!("{short}@127.0.0.1"), &epmd));
    let (node, global) = visible(RUST, &epmd).await;
    for beam in &mut beams[1..] {
        beam.eval("pong = net_adm:ping('a@127.0.0.1')");
    }
    let first = name(&beams[0].name);
    let whole = async |beams: &mut [Beam; 3]| {
        node.connect(&first).await.unwrap();
        for beam in beams {
            wait(beam, "length(nodes())", "3");
            wait(
                beam,
                "length(gen_server:call(global_name_server, get_known))",
                "3",
            );
        }
        until("all nodes are known", || global.nodes().len() == 3).await;
    };
    whole(&mut beams).await;
    for beam in &mut beams {
        beam.eval("net_kernel:monitor_nodes(true)");
    }
    // What the servers have sent one another before this has arrived after it.
    let flush = |beams: &mut [Beam; 3]| {
        for _ in 0..3 {
            for beam in beams.iter_mut() {
                beam.eval(
                    "gen_server:multi_call(nodes(), global_name_server, get_protocol_version), ok",
                );
            }
        }
    };
    let lost = "(fun Flush(Lost) -> receive {nodedown, Node} -> Flush([Node | Lost]); {nodeup, _} -> Flush(Lost) \
                after 0 -> lists:usort(Lost) end end)([])";

    node.disconnect(&name("b@127.0.0.1"));
    wait(
        &mut beams[1],
        "lists:sort(nodes())",
        "['a@127.0.0.1','c@127.0.0.1']",
    );
    flush(&mut beams);
    let downs = beams.each_mut().map(|beam| beam.eval(lost));
    assert_eq!(downs, ["[]", "['rust@127.0.0.1']", "[]"]);
    assert_eq!(node.nodes().len(), 2);
    // They come together again, and share all names.
    node.connect(&name("b@127.0.0.1")).await.unwrap();
    whole(&mut beams).await;
    let process = node.process();
    assert!(
        global
            .register_name(Term::atom("ours"), process.pid())
            .await
    );
    wait(&mut beams[1], "is_pid(global:whereis_name(ours))", "true");

    let mut left = node.leave().await;
    left.sort();
    assert_eq!(left, beams.each_ref().map(|beam| name(&beam.name)));
    assert!(node.nodes().is_empty());
    for beam in &mut beams {
        wait(beam, "length(nodes())", "2");
    }
    flush(&mut beams);
    for beam in &mut beams {
        assert_eq!(beam.eval(lost), "['rust@127.0.0.1']");
    }
    whole(&mut beams).await;
    for beam in &mut beams {
        wait(beam, "is_pid(global:whereis_name(ours))", "true");
        // `global` may have cut it off again while it still told of its going.
        let all = beam.eval(lost);
        assert!(
            ["[]", "['rust@127.0.0.1']"].contains(&all.as_str()),
            "{all}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_one_has_no_part_in_it() {
    if !beam_is_installed("a hidden node beside global") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let hidden = node(RUST, &epmd).await;
    assert!(hidden.global().is_none());
    hidden.connect(&name(&a.name)).await.unwrap();
    assert_eq!(a.eval("global:sync()"), "ok");
    assert_eq!(a.eval("global:register_name(alone, self())"), "yes");
    assert_eq!(
        a.eval("global:trans({thing, self()}, fun() -> done end)"),
        "done"
    );
    assert_eq!(
        a.eval("global:set_lock({thing, self()}, [node(), 'rust@127.0.0.1'], 0)"),
        "true",
        "a node without the server is as one that is down"
    );
}
