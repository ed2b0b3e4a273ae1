//! Messages between a BEAM and a node in Rust: to pids, names and aliases, in order, and as many as are taken.

use std::time::Duration;

use rendez::etf::{Atom, BitString, Term};
use rendez::node::{Dest, Limits, Node, Process, Received, SendFailed, SpawnOptions};
use tokio::time::timeout;

use crate::world::*;

/// A process that answers `{From, Message}` with `{self(), Message}`.
pub fn echo(node: &Node) {
    async fn code(mut process: Process) {
        loop {
            if let Received::Message(Term::Tuple(elements)) = process.receive().await
                && let [Term::Pid(from), message] = elements.as_slice()
            {
                let own = Term::from(process.pid().clone());
                let answer = Term::Tuple(vec![own, message.clone()]);
                process.send(&**from, answer).await.expect("it is sent");
            }
        }
    }
    node.spawn_with(SpawnOptions::new().name(Atom::new("echo")), code)
        .expect("the name is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_name_to_a_pid_and_back() {
    if !beam_is_installed("messages") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    echo(&node);
    let mut erl = erl("a@127.0.0.1", &epmd);
    let received = |m: &str| format!("receive {{Echo, {m}}} -> {m} after 300000 -> late end");
    assert_eq!(
        erl.eval(&format!(
            "{{echo, '{RUST}'}} ! {{self(), 1}}, {}",
            received("First")
        )),
        "1"
    );
    // The pattern holds the answers to the pid that the first one named.
    for message in [
        "#{a => [1.5, -3, 1 bsl 70], {b} => <<3:3>>}",
        "[fun lists:map/2, make_ref(), self(), \"text\", <<\"bin\">>]",
        "[a | b]",
        "binary:copy(<<7>>, 3000000)",
        "lists:seq(1, 100000)",
        "[list_to_atom(\"atom\" ++ integer_to_list(N)) || N <- lists:seq(1, 3000)]",
    ] {
        let echoed = format!(
            "M = {message}, Echo ! {{self(), M}}, M =:= ({})",
            received("Same")
        );
        assert_eq!(
            erl.eval(&format!("(fun() -> {echoed} end)()")),
            "true",
            "{message}"
        );
    }
    // A name that nobody has, a pid of nobody: nothing happens, and the connection stays.
    erl.eval(&format!("{{nobody, '{RUST}'}} ! x"));
    erl.eval(
        "Bytes = term_to_binary(Echo), Size = byte_size(Bytes) - 12, \
         <<Node:Size/binary, _:32, Rest/binary>> = Bytes, \
         binary_to_term(<<Node/binary, 9999:32, Rest/binary>>) ! x",
    );
    let again = format!("Echo ! {{self(), again}}, {}", received("Again"));
    assert_eq!(erl.eval(&again), "again");

    let mut iex = iex("b@127.0.0.1", &epmd);
    let sent = format!(
        "send({{:echo, :\"{RUST}\"}}, {{self(), %{{k: \"v\"}}}}); receive do {{_, m}} -> m after 300000 -> :late end"
    );
    assert_eq!(iex.elixir(&sent), "%{k: \"v\"}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_messages_keep_their_order_both_ways() {
    if !beam_is_installed("a million messages") {
        return;
    }
    const COUNT: i64 = 1_000_000;
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    let mut erl = erl("a@127.0.0.1", &epmd);
    compile(
        &mut erl,
        &[
            "-module(sequence).",
            "-export([send/2, receive_in_order/2]).",
            "send(To, N) -> lists:foreach(fun(I) -> To ! I end, lists:seq(1, N)).",
            "receive_in_order(N, N) -> in_order;
             receive_in_order(I, N) -> receive M when M =:= I + 1 -> receive_in_order(M, N);
                 M -> {I, M} after 300000 -> {late, I} end.",
        ],
    );
    let mut process = node.process();
    process.register(Atom::new("sink")).unwrap();
    let sending = format!(
        "spawn(fun() -> register(sequence, self()), sequence:send({{sink, '{RUST}'}}, {COUNT}) end), ok"
    );
    erl.eval(&sending);
    let all = async {
        for expected in 1..=COUNT {
            assert_eq!(
                process.receive().await,
                Received::Message(Term::Int(expected))
            );
        }
    };
    timeout(PATIENCE, all).await.expect("all of them come");

    erl.eval(&format!(
        "Own = self(), Sink = spawn(fun() -> Own ! sequence:receive_in_order(0, {COUNT}) end), register(sink, Sink)"
    ));
    let sink = Dest::registered("sink", &name("a@127.0.0.1")).unwrap();
    for number in 1..=COUNT {
        process.send(&sink, Term::Int(number)).await.unwrap();
    }
    let got = erl.eval("receive Outcome -> Outcome after 300000 -> late end");
    assert_eq!(got, "in_order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_beyond_a_limit_costs_the_message_and_not_the_connection() {
    if !beam_is_installed("limits") {
        return;
    }
    let epmd = Epmd::start();
    let node = node(RUST, &epmd).await;
    echo(&node);
    let mut erl = erl("a@127.0.0.1", &epmd);
    let deep =
        |levels: u32| format!("lists:foldl(fun(X, A) -> [A, X] end, [], lists:seq(1, {levels}))");
    let answered = |message: &str| {
        format!(
            "(fun(M) -> {{echo, '{RUST}'}} ! {{self(), M}}, receive {{_, M}} -> same after 30000 -> late end end)({message})"
        )
    };
    erl.eval("ok = net_kernel:monitor_nodes(true)");
    // As iolists are appended to.
    assert_eq!(erl.eval(&answered(&deep(600))), "same");
    assert_eq!(erl.eval(&answered(&deep(4000))), "same");
    let connection = node.connect(&name("a@127.0.0.1")).await.unwrap();
    assert_eq!(connection.lost_payloads(), 0);
    erl.eval(&format!(
        "{{echo, '{RUST}'}} ! {{self(), {}}}",
        deep(20_000)
    ));
    assert_eq!(erl.eval(&answered("after_it")), "same");
    assert_eq!(connection.lost_payloads(), 1);
    // An exit signal is not lost with its reason.
    let mut process = node.process();
    process.trap_exit(true);
    process.register(Atom::new("trapping")).unwrap();
    let pid = format!("rpc:call('{RUST}', erlang, whereis, [trapping])");
    erl.eval(&format!("exit({pid}, {})", deep(20_000)));
    let received = timeout(PATIENCE, process.receive())
        .await
        .expect("it comes");
    let Received::Exit { reason, .. } = received else {
        panic!("{received:?}")
    };
    let unreadable = reason
        .as_tuple()
        .and_then(|reason| reason.first()?.as_atom());
    assert!(
        unreadable.is_some_and(|atom| *atom == "unreadable"),
        "{reason:?}"
    );

    // What no BEAM could read is not sent.
    let to = Dest::registered("nobody", &name("a@127.0.0.1")).unwrap();
    let bits = BitString {
        bytes: vec![1].into(),
        last_bits: 9,
    };
    for term in [
        Term::BitString(Box::new(bits)),
        Term::BigInt(Box::new(1.into())),
        Term::integer(num_bigint::BigInt::from(1) << 5_000_000_u32),
    ] {
        let sent = process.send(&to, term).await;
        assert!(matches!(sent, Err(SendFailed::Unsendable(_))), "{sent:?}");
    }
    assert_eq!(erl.eval(&answered("still_here")), "same");
    assert!(!connection.is_closed());
    assert_eq!(
        erl.eval("receive {nodedown, Down} -> Down after 0 -> none end"),
        "none"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_longer_than_the_longest_message_costs_the_message_and_not_the_connection() {
    if !beam_is_installed("a long frame") {
        return;
    }
    let epmd = Epmd::start();
    let node = builder(RUST, &epmd).max_message(10_000).start().await;
    let node = node.expect("the node starts");
    echo(&node);
    let mut erl = erl("a@127.0.0.1", &epmd);
    // 50,000 bytes come in one frame, and a megabyte in fragments that are each too long.
    erl.eval(&format!(
        "[{{echo, '{RUST}'}} ! {{self(), binary:copy(<<7>>, Size)}} || Size <- [50000, 1000000, 9000]], ok"
    ));
    assert_eq!(
        erl.eval("receive {_, Back} -> byte_size(Back) after 300000 -> late end"),
        "9000"
    );
    let connection = node.connect(&name("a@127.0.0.1")).await.unwrap();
    assert_eq!(connection.lost_payloads(), 2);
    assert!(!connection.is_closed());
}

/// Compiles a module on the BEAM, from its forms.
pub fn compile(beam: &mut Beam, forms: &[&str]) {
    let forms: Vec<_> = forms
        .iter()
        .map(|form| format!("{:?}", form.replace('\n', " ")))
        .collect();
    beam.eval(&format!(
        "{{ok, Module, Code}} = compile:forms([begin {{ok, Tokens, _}} = erl_scan:string(Form), \
         {{ok, Parsed}} = erl_parse:parse_form(Tokens), Parsed end || Form <- [{}]]), \
         {{module, Module}} = code:load_binary(Module, \"none\", Code)",
        forms.join(",")
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_listened_to_waits_and_holds_up_nobody_else() {
    if !beam_is_installed("a peer that is not listened to") {
        return;
    }
    let epmd = Epmd::start();
    let limits = Limits {
        unreceived: 1 << 20,
        ..Limits::default()
    };
    let builder = builder(RUST, &epmd).limits(limits);
    let node = builder.start().await.unwrap();
    echo(&node);
    let mut deaf = node.process();
    deaf.register(Atom::new("deaf")).unwrap();
    let mut loud = erl("loud@127.0.0.1", &epmd);
    loud.eval(&format!(
        "Message = binary:copy(<<1>>, 100000), spawn(fun() -> [{{deaf, '{RUST}'}} ! {{N, Message}} || N <- lists:seq(1, 1000)] end), ok"
    ));
    // 1 MiB is ten of them; what is on the way comes on top, and a hundred megabytes do not.
    let started = std::time::Instant::now();
    while deaf.waiting() < 10 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waiting = deaf.waiting();
    assert!((10..=20).contains(&waiting), "{waiting} messages came in");
    // Another node's way is free.
    let mut quiet = erl("quiet@127.0.0.1", &epmd);
    let asked = format!(
        "{{echo, '{RUST}'}} ! {{self(), 1}}, receive {{_, M}} -> M after 300000 -> late end"
    );
    assert_eq!(quiet.eval(&asked), "1");
    // Nothing was lost.
    for number in 1..=1000 {
        let Some(Received::Message(Term::Tuple(message))) = deaf.receive_timeout(PATIENCE).await
        else {
            panic!("message {number} is missing");
        };
        assert_eq!(message[0], Term::Int(number));
    }
}
