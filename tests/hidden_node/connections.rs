//! Connections come to be when something is sent, from either side or from both at once, and there is one.

use std::time::Duration;

use rendez::etf::{Atom, Term};
use rendez::node::{Dest, Received};

use crate::messages::echo;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn sending_connects_from_either_side() {
    if !beam_is_installed("connections") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    let a = name("a@127.0.0.1");
    erl.eval("register(main, self())");
    let main = Dest::registered("main", &a).unwrap();
    let mut process = node.process();
    process.send(&main, process.pid().clone()).await.unwrap();
    assert_eq!(node.nodes(), std::slice::from_ref(&a));
    let got = "receive P -> Rust = P, is_pid(P) after 300000 -> late end";
    assert_eq!(erl.eval(got), "true");
    node.disconnect(&a);
    erl.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
    // A pid is enough.
    erl.eval("Rust ! hello");
    let hello = process.receive_timeout(PATIENCE).await;
    assert_eq!(hello, Some(Received::Message(Term::atom("hello"))));
    assert_eq!(node.nodes(), [a]);
    let nowhere = Dest::Remote(Atom::new("x"), Atom::new("nobody@127.0.0.1"));
    let failed = process.send(nowhere, Term::NIL).await.unwrap_err();
    assert!(failed.to_string().contains("nobody@127.0.0.1"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_at_once_end_with_one_connection_and_lose_nothing() {
    if !beam_is_installed("simultaneous connects") {
        return;
    }
    let epmd = Epmd::start();
    let mut erl = erl("m@127.0.0.1", &epmd);
    erl.eval("register(main, self())");
    let m = name("m@127.0.0.1");
    let main = Dest::registered("main", &m).unwrap();
    // One name before and one after the BEAM's: each side has to give way once.
    for own in ["a@127.0.0.1", "z@127.0.0.1"] {
        let node = node(own, &epmd).await;
        echo(&node);
        for round in 0..20 {
            let (ours, main) = (node.clone(), main.clone());
            let ours = tokio::spawn(async move { ours.send(main, Term::Int(round)).await });
            let theirs = format!(
                "(fun() -> {{echo, '{own}'}} ! {{self(), {round}}}, \
                 receive {{_, {round}}} -> ok after 300000 -> exit(late) end, \
                 receive {round} -> both after 300000 -> late end end)()"
            );
            assert_eq!(erl.eval(&theirs), "both", "round {round} of {own}");
            ours.await.unwrap().unwrap();
            assert_eq!(node.nodes(), std::slice::from_ref(&m));
            erl.eval(&format!("erlang:disconnect_node('{own}')"));
            while !node.nodes().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_restarts_is_another_life_of_the_same_name() {
    if !beam_is_installed("a node that restarts") {
        return;
    }
    let epmd = Epmd::start();
    let mut erl = erl("a@127.0.0.1", &epmd);
    let mut creations = Vec::new();
    for life in 0..2 {
        let node = node(RUST, &epmd).await;
        creations.push(node.identity().creation);
        echo(&node);
        let greeted = format!(
            "(fun() -> {{echo, '{RUST}'}} ! {{self(), hello}}, receive {{P, hello}} -> put({life}, P), ok after 300000 -> late end end)()"
        );
        assert_eq!(erl.eval(&greeted), "ok");
        if life == 1 {
            // What was meant for the process of the first life does not reach one of the second.
            let before = "(fun() -> get(0) ! {self(), x}, monitor(process, get(0)), \
                          receive {'DOWN', _, _, _, R} -> R; {_, x} -> reached after 300000 -> late end end)()";
            assert_eq!(erl.eval(before), "noproc");
        }
        // No farewell: the first life ends like one whose machine was switched off.
        drop(node);
        erl.wait_until("nodes(hidden)", PATIENCE, |nodes| nodes == "[]");
    }
    assert_ne!(creations[0], creations[1]);
}
