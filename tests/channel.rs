//! The message path against real nodes, without a node of ours around it.
//!
//! What needs no peer is tested beside the code; here it is shown that OTP means the same by it.

#![cfg(feature = "node")]

mod support;

use std::time::{Duration, Instant};

use rendez::dist::channel::{ChannelOptions, Incoming, Receiver, Sender};
use rendez::dist::control::Control;
use rendez::dist::{CloseReason, Flags};
use rendez::etf::{Atom, Pid, Term};
use support::wire::{WHOLE, connect, connect_with, pid};
use support::{Beam, BeamOptions, Epmd, beam_is_installed};

const OWN: &str = "rust@127.0.0.1";
const PEER: &str = "beam@127.0.0.1";
/// The process of ours that speaks.
fn me() -> Pid {
    pid(OWN, 1)
}

fn to_name(from: &Pid, name: &'static str) -> Control {
    Control::RegSend {
        from: from.clone(),
        to: Atom::new(name),
    }
}

async fn payload(receiver: &mut Receiver) -> Term {
    loop {
        let Incoming {
            control, payload, ..
        } = receiver.next().await.expect("the connection stands");
        // net_kernel and its like talk to us too.
        if matches!(&control, Control::RegSend { to, .. } if *to == "x") {
            return payload.expect("a message");
        }
    }
}

/// A node and a connection to it. The node has a process `echo` that sends back what it gets.
async fn start(flags: Flags) -> (Epmd, Beam, Sender, Receiver) {
    let epmd = Epmd::start();
    let mut beam = Beam::start(&epmd, &BeamOptions::erl(PEER));
    beam.eval(
        "register(echo, spawn(fun() -> (fun L() -> receive M -> {x, 'rust@127.0.0.1'} ! M end, L() end)() end))",
    );
    let (sender, receiver) = connect(&epmd, OWN, PEER, flags).await;
    (epmd, beam, sender, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_messages_arrive_in_order_both_ways() {
    if !beam_is_installed("the order of a million messages") {
        return;
    }
    const COUNT: i64 = 1_000_000;
    let (_epmd, mut beam, sender, mut receiver) = start(WHOLE).await;
    beam.eval(
        "register(order, spawn(fun() -> R = lists:foldl(fun(N, ok) -> receive {n, N, <<\"x\">>} -> ok; \
         Other -> {error, N, Other} end; (_, E) -> E end, ok, lists:seq(1, 1000000)), \
         {x, 'rust@127.0.0.1'} ! R end))",
    );
    let to_order = to_name(&me(), "order");
    let sending = async {
        for n in 1..=COUNT {
            let message = [Term::atom("n"), Term::Int(n), Term::binary(&b"x"[..])];
            let message = Term::Tuple(message.into());
            let sent = sender.send(&to_order, Some(&message)).await;
            sent.expect("the connection stands");
        }
    };
    let ((), report) = tokio::join!(sending, payload(&mut receiver));
    assert_eq!(report, Term::atom("ok"));

    beam.eval(
        "spawn(fun() -> lists:foreach(fun(N) -> {x, 'rust@127.0.0.1'} ! {n, N, a} end, lists:seq(1, 1000000)) end)",
    );
    for n in 1..=COUNT {
        let Term::Tuple(elements) = payload(&mut receiver).await else {
            panic!("a tuple");
        };
        assert_eq!(
            elements,
            [Term::atom("n"), Term::Int(n), Term::atom("a")],
            "message {n}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_binaries_go_there_and_back() {
    if !beam_is_installed("large binaries") {
        return;
    }
    // With fragments, without, and as nodes spoke before there were headers.
    for flags in [WHOLE, Flags::DIST_HDR_ATOM_CACHE, Flags::empty()] {
        let (_epmd, _beam, sender, mut receiver) = start(flags).await;
        assert_eq!(
            sender.flags().contains(Flags::FRAGMENTS),
            flags.contains(Flags::FRAGMENTS)
        );
        for size in [0, 1000, 65_500, 65_536, 1 << 20, (10 << 20) + 7] {
            let bytes: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[1]).collect();
            let message = Term::Tuple(vec![
                Term::atom("data"),
                Term::binary(bytes),
                Term::from(me()),
            ]);
            let sent = sender.send(&to_name(&me(), "echo"), Some(&message)).await;
            sent.expect("the connection stands");
            assert!(
                payload(&mut receiver).await == message,
                "{size} bytes, {flags}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_of_many_senders_arrive_whole_between_short_ones() {
    if !beam_is_installed("fragments of many senders") {
        return;
    }
    const SENDERS: u32 = 12;
    let (_epmd, mut beam, sender, mut receiver) = start(WHOLE).await;
    // Each sends ten long messages and a short one after each, all at once.
    beam.eval(
        "[spawn(fun() -> [begin {x, 'rust@127.0.0.1'} ! {S, N, binary:copy(<<S>>, 700000 + S)}, \
         {x, 'rust@127.0.0.1'} ! {S, N, short} end || N <- lists:seq(1, 10)] end) || S <- lists:seq(1, 12)]",
    );
    let mut next = [1; 13];
    let mut short = [true; 13];
    for _ in 0..SENDERS * 20 {
        let message = payload(&mut receiver).await;
        let [Term::Int(from), Term::Int(number), data] = message.as_tuple().expect("a tuple")
        else {
            panic!("{message:?}");
        };
        let s = usize::try_from(*from).expect("a sender");
        if let Some(binary) = data.as_binary() {
            assert!(short[s], "the short one of {s} comes after its long one");
            assert_eq!(binary.len(), 700_000 + s);
            assert!(binary.iter().all(|byte| usize::from(*byte) == s));
            short[s] = false;
        } else {
            assert!(!short[s]);
            assert_eq!(*number, next[s], "the messages of {s} are in order");
            next[s] += 1;
            short[s] = true;
        }
    }
    assert_eq!(next[1..], [11; 12]);

    // The same the other way: longer ones, since what is shorter than 2 MiB goes whole.
    beam.eval(
        "register(judge, spawn(fun() -> R = [begin Take = fun T(0) -> ok; T(N) -> receive {S, N, B} when byte_size(B) =:= 3000000 -> \
         receive {S, _, _} = M -> {S, N, short} = M, T(N - 1) end end end, Take(3) end || S <- lists:seq(1, 12)], \
         {x, 'rust@127.0.0.1'} ! {R, binary:copy(<<7>>, 100)} end))",
    );
    let mut tasks = Vec::new();
    for number in 1..=SENDERS {
        let sender = sender.clone();
        tasks.push(tokio::spawn(async move {
            let control = to_name(&pid(OWN, number), "judge");
            for n in (1..=3).rev() {
                let head = [Term::Int(number.into()), Term::Int(n)];
                for last in [Term::binary(vec![1; 3_000_000]), Term::atom("short")] {
                    let message = Term::Tuple([&head[..], &[last]].concat());
                    let sent = sender.send(&control, Some(&message)).await;
                    sent.expect("the connection stands");
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("it sends");
    }
    let report = payload(&mut receiver).await;
    assert_eq!(
        report.as_tuple().expect("a tuple")[0],
        Term::List(vec![Term::atom("ok"); 12])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_caches_survive_more_atoms_than_they_have_places() {
    if !beam_is_installed("the atom cache") {
        return;
    }
    let (_epmd, _beam, sender, mut receiver) = start(WHOLE).await;
    // Three times round, so that places are taken, lost and taken again; some atoms are long.
    for round in 0..3 {
        for group in 0..120 {
            let atoms = (0..40)
                .map(|n| {
                    let length = [0, 0, 0, 240][n % 4];
                    let name = format!("churn_{group}_{n}_{}", "ö".repeat(length));
                    Term::Atom(Atom::try_from(&name[..]).expect("an atom"))
                })
                .collect();
            let message = Term::Tuple(vec![Term::Int(round), Term::List(atoms)]);
            let sent = sender.send(&to_name(&me(), "echo"), Some(&message)).await;
            sent.expect("the connection stands");
            assert_eq!(payload(&mut receiver).await, message);
        }
    }
    // More in one message than a header can list.
    let atoms = (0..1000).map(|n| Atom::try_from(&format!("many_{n}")[..]).expect("an atom"));
    let message = Term::List(atoms.map(Term::Atom).collect());
    for _ in 0..2 {
        let sent = sender.send(&to_name(&me(), "echo"), Some(&message)).await;
        sent.expect("the connection stands");
        assert_eq!(payload(&mut receiver).await, message);
    }
}

/// Sends a signal to a process of the operating system.
fn signal(beam: &Beam, signal: &str) {
    let killed = std::process::Command::new("kill")
        .args([signal, &beam.pid().to_string()])
        .status();
    assert!(killed.expect("kill runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_keep_a_silent_connection_and_a_stopped_peer_is_given_up() {
    if !beam_is_installed("ticks") {
        return;
    }
    let epmd = Epmd::start();
    let options = BeamOptions::erl(PEER).flags(["-kernel", "net_ticktime", "4"]);
    let mut beam = Beam::start(&epmd, &options);
    let tick_time = Duration::from_secs(4);
    let channel = ChannelOptions {
        tick_time,
        ..ChannelOptions::default()
    };
    let (sender, mut receiver) = connect_with(&epmd, OWN, PEER, WHOLE, channel).await;
    // Longer than either side would wait.
    let quiet = tokio::time::timeout(tick_time * 2, async {
        loop {
            receiver.next().await.expect("the connection stands");
        }
    });
    assert!(quiet.await.is_err());
    assert_eq!(beam.eval("nodes(hidden)"), format!("['{OWN}']"));
    assert!(!sender.is_closed());

    signal(&beam, "-STOP");
    let stopped = Instant::now();
    let end = loop {
        if let Err(reason) = receiver.next().await {
            break reason;
        }
    };
    signal(&beam, "-CONT");
    assert_eq!(end, CloseReason::Silent(tick_time));
    assert_eq!(sender.closed().await, end);
    assert!(stopped.elapsed() > tick_time * 3 / 4);
    drop((sender, receiver));

    // And the other way: the BEAM gives up a peer that neither speaks nor ticks.
    let deaf = ChannelOptions {
        tick_time: Duration::from_secs(3600),
        ..ChannelOptions::default()
    };
    beam.wait_until("nodes(hidden)", Duration::from_secs(30), |nodes| {
        nodes == "[]"
    });
    let (_sender, mut receiver) = connect_with(&epmd, OWN, PEER, WHOLE, deaf).await;
    let end = loop {
        if let Err(reason) = receiver.next().await {
            break reason;
        }
    };
    assert_eq!(end, CloseReason::ByPeer);
    assert!(beam.log().contains("net_tick_timeout") || beam.eval("nodes(hidden)") == "[]");
}
