//! Process groups: members here and on real nodes, as both see them.

use std::time::Instant;

use rendez::etf::{Atom, Pid, Term};
use rendez::node::Process;
use rendez::node::pg::{Pg, PgEvent, PgEventKind, PgEvents};

use crate::world::*;

const PG: Atom = Atom::new("pg");
const SINGERS: &str = "length(pg:get_members(rockstars))";

fn rockstars() -> Term {
    Term::atom("rockstars")
}

/// Runs until it holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn wait(beam: &mut Beam, expression: &str, value: &str) {
    beam.wait_until(expression, PATIENCE, |now| now == value);
}

async fn next(events: &mut PgEvents) -> PgEvent {
    let next = tokio::time::timeout(PATIENCE, events.next());
    next.await.expect("in time").expect("the scope is there")
}

/// Sends back what it is sent, with its own pid: `{From, What}`.
fn singer(node: &Node) -> Pid {
    node.spawn(|mut process: Process| async move {
        while let Some(message) = process.receive().await.into_message() {
            if let Some([Term::Pid(from), what]) = message.as_tuple() {
                let answer = Term::Tuple(vec![process.pid().clone().into(), what.clone()]);
                let _ = process.send(&**from, answer).await;
            } else {
                break;
            }
        }
    })
}

/// A node with the scope, and a member in it.
async fn stage(own: &str, epmd: &Epmd) -> (Node, Pg, Pid) {
    let node = node(own, epmd).await;
    let pg = node.pg(PG).unwrap();
    let singer = singer(&node);
    pg.join(rockstars(), &singer).unwrap();
    (node, pg, singer)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_here_and_there_see_each_other_join_leave_and_end() {
    if !beam_is_installed("process groups") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    a.eval("{ok, _} = pg:start(pg)");
    let (node, pg, own) = stage(RUST, &epmd).await;
    // Whichever side connects.
    assert_eq!(a.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
    wait(&mut a, SINGERS, "1");
    assert_eq!(a.eval("nodes()"), "[]", "it is hidden all the same");
    let answer = a.eval(
        "[P] = pg:get_members(rockstars), P ! {self(), paranoid},
         receive {P, Song} -> {node(P), Song} after 300000 -> late end",
    );
    assert_eq!(answer, "{'rust@127.0.0.1',paranoid}");

    // Their members, as they come and go.
    let (members, mut events) = pg.monitor(rockstars());
    assert_eq!(members, std::slice::from_ref(&own));
    a.eval("Q = spawn(fun() -> receive stop -> ok end end), ok = pg:join(rockstars, [Q, self()])");
    let event = next(&mut events).await;
    assert_eq!((event.kind, event.pids.len()), (PgEventKind::Join, 2));
    assert_eq!(pg.members(&rockstars()).len(), 3);
    assert_eq!(pg.local_members(&rockstars()), std::slice::from_ref(&own));
    a.eval("Q ! stop");
    let event = next(&mut events).await;
    assert_eq!((event.kind, event.pids.len()), (PgEventKind::Leave, 1));
    let self_ = pg
        .members(&rockstars())
        .into_iter()
        .find(|pid| *pid != own)
        .unwrap();
    node.send(&self_, Term::atom("encore")).await.unwrap();
    assert_eq!(
        a.eval("receive encore -> heard after 300000 -> late end"),
        "heard"
    );
    a.eval("ok = pg:leave(rockstars, self())");
    assert_eq!(next(&mut events).await.pids, [self_]);

    // Ours, as they monitor them.
    a.eval("{R, [_]} = pg:monitor(rockstars)");
    let second = singer(&node);
    pg.join_all(rockstars(), &[second.clone(), second.clone()])
        .unwrap();
    assert_eq!(
        a.eval("receive {R, join, rockstars, Ps} -> length(Ps) after 300000 -> late end"),
        "2"
    );
    assert!(pg.leave(&rockstars(), &second).unwrap());
    assert_eq!(
        a.eval("receive {R, leave, rockstars, [_]} -> left after 300000 -> late end"),
        "left"
    );
    node.send(&second, Term::atom("stop")).await.unwrap();
    assert_eq!(
        a.eval("receive {R, leave, rockstars, [_]} -> left after 300000 -> late end"),
        "left"
    );
    assert_eq!(a.eval(SINGERS), "1");

    // Groups are any terms.
    let room = Term::Tuple(vec![Term::binary("room"), Term::Int(7)]);
    pg.join(room.clone(), &own).unwrap();
    wait(&mut a, "length(pg:get_members({<<\"room\">>, 7}))", "1");
    a.eval("ok = pg:join(#{floor => 1.5}, self())");
    until("the BEAM's group", || pg.groups().len() == 3).await;
    assert_eq!(pg.local_groups().len(), 2);

    // The connection ends: each loses the other's members, and they come back with it.
    a.eval("erlang:disconnect_node('rust@127.0.0.1')");
    wait(&mut a, SINGERS, "0");
    until("its members leave", || pg.groups().len() == 2).await;
    a.eval("pong = net_adm:ping('rust@127.0.0.1')");
    wait(&mut a, SINGERS, "1");
    until("its members are back", || pg.groups().len() == 3).await;
    // The scope's end is every member's leave, the node being there.
    drop(pg);
    wait(&mut a, SINGERS, "0");
    wait(&mut a, "length(pg:which_groups())", "1");
    assert_eq!(a.eval("nodes(hidden)"), "['rust@127.0.0.1']");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_starts_later_or_again_is_found() {
    if !beam_is_installed("process groups that start later") {
        return;
    }
    let epmd = Epmd::start();
    let mut a = erl("a@127.0.0.1", &epmd);
    let (node, pg, _) = stage(RUST, &epmd).await;
    node.connect(&name(&a.name)).await.unwrap();
    // It does not tell hidden nodes that it starts.
    for _ in 0..2 {
        a.eval("{ok, _} = pg:start(pg), ok = pg:join(rockstars, self())");
        wait(&mut a, SINGERS, "2");
        until("its member", || pg.members(&rockstars()).len() == 2).await;
        a.eval("exit(whereis(pg), kill)");
        until("its member has left", || {
            pg.members(&rockstars()).len() == 1
        })
        .await;
    }
    // What is under the name may be no scope at all.
    a.eval("register(pg, self())");
    let asked = a.eval("receive {discover, P} -> node(P) after 300000 -> late end");
    assert_eq!(asked, "'rust@127.0.0.1'");
    a.eval("gen_server:cast({pg, 'rust@127.0.0.1'}, {nonsense, [1 | 2]})");
    a.eval("{pg, 'rust@127.0.0.1'} ! {leave, self(), [self()], [rockstars, nobody]}");
    a.eval("{pg, 'rust@127.0.0.1'} ! {sync, nobody, []}");
    assert_eq!(a.eval("net_adm:ping('rust@127.0.0.1')"), "pong");
    assert_eq!(pg.members(&rockstars()).len(), 1);
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_and_visible_nodes_share_the_groups_of_several_scopes() {
    if !beam_is_installed("process groups of many nodes") {
        return;
    }
    let epmd = Epmd::start();
    let (mut a, mut b) = (erl("a@127.0.0.1", &epmd), erl("b@127.0.0.1", &epmd));
    for beam in [&mut a, &mut b] {
        beam.eval(
            "{ok, _} = pg:start(pg), {ok, _} = pg:start(stage), ok = pg:join(rockstars, self())",
        );
    }
    b.eval("pong = net_adm:ping('a@127.0.0.1')");
    let (one, one_pg, one_pid) = stage("one@127.0.0.1", &epmd).await;
    let (two, two_pg, _) = stage("two@127.0.0.1", &epmd).await;
    let visible = builder("seen@127.0.0.1", &epmd)
        .visible()
        .start()
        .await
        .unwrap();
    let visible_pg = visible.pg(PG).unwrap();
    visible_pg.join(rockstars(), &singer(&visible)).unwrap();
    for node in [&one, &two, &visible] {
        for beam in [&a, &b] {
            node.connect(&name(&beam.name)).await.unwrap();
        }
    }
    // Rust nodes with each other.
    one.connect(two.name()).await.unwrap();
    one.connect(visible.name()).await.unwrap();
    two.connect(visible.name()).await.unwrap();
    for beam in [&mut a, &mut b] {
        wait(beam, SINGERS, "5");
    }
    for pg in [&one_pg, &two_pg, &visible_pg] {
        until("all five", || pg.members(&rockstars()).len() == 5).await;
    }
    // Another scope is another world.
    let other = one.pg(Atom::new("stage")).unwrap();
    other.join(rockstars(), &one_pid).unwrap();
    wait(&mut a, "length(pg:get_members(stage, rockstars))", "1");
    assert_eq!(a.eval(SINGERS), "5");
    // One after another goes.
    visible.stop().await;
    two.stop().await;
    drop(b);
    until("three have left", || {
        one_pg.members(&rockstars()).len() == 2
    })
    .await;
    wait(&mut a, SINGERS, "2");
    assert_eq!(a.eval("length(pg:get_members(stage, rockstars))"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_worker_is_found_and_used() {
    if !beam_is_installed("the example pg_worker") {
        return;
    }
    let epmd = Epmd::start();
    let mut iex = iex("iex@127.0.0.1", &epmd);
    iex.elixir(":pg.start(:pg)");
    let workers = ["one", "two"].map(|short| {
        let own = format!("{short}@127.0.0.1");
        let arguments = [own.as_str(), COOKIE, "iex@127.0.0.1"];
        let mut worker = Example::start("pg_worker", &arguments, epmd.port);
        assert_eq!(worker.line(), format!("{own} works"));
        assert_eq!(worker.line(), "1 in the group");
        worker
    });
    wait(&mut iex, "length(pg:get_members(hashers))", "2");
    let hashes = iex.elixir(
        "for worker <- :pg.get_members(:hashers) do
           send(worker, {self(), \"some text\"})
           receive do {^worker, hash} -> hash after 300_000 -> :late end
         end |> Enum.uniq()",
    );
    assert_eq!(hashes, "[1565534772893300484]", "as its first lines say");
    let [mut one, mut two] = workers;
    // They see those of the BEAM too.
    iex.elixir(":pg.join(:hashers, spawn(fn -> Process.sleep(:infinity) end))");
    assert_eq!(one.line(), "Join: 1");
    assert!(two.end("INT").success());
    wait(&mut iex, "length(pg:get_members(hashers))", "2");
}
