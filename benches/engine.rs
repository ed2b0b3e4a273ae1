//! What 10,000 nodes cost the engine: the time to take in a complete answer that changes one in a hundred,
//! and the memory a node. Ends with 1 when the memory goal is missed; times are only printed, since they
//! depend on the machine.
//!
//! No criterion: what is measured is one input on an engine in a known state, and memory besides.

use std::alloc::System;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rendez::NodeName;
use rendez::cluster::{Action, ConnectError, Engine, Input, Policy, ProviderId};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const NODES: usize = 10_000;
const CHANGED: usize = NODES / 100;
const ROUNDS: usize = 200;
const TIME_GOAL: Duration = Duration::from_millis(5);
const MEMORY_GOAL: usize = 1_024;

fn names(range: std::ops::Range<usize>) -> Vec<NodeName> {
    let name = |i: usize| format!("shop-{i}@10.{}.{}.{}", i >> 16, (i >> 8) & 255, i & 255);
    range
        .map(|i| name(i).parse().expect("a node name"))
        .collect()
}

/// An engine that no fuse keeps from holding the old nodes and the new ones at once.
fn engine() -> Engine {
    let policy = Policy {
        max_nodes: None,
        ..Policy::default()
    };
    Engine::new(None, policy, 1)
}

fn provider() -> ProviderId {
    ProviderId::new(0).expect("the first provider")
}

/// Hands the input in, takes all actions, and lets every attempt end at once.
fn settle(engine: &mut Engine, now: Duration, input: Input, result: &Result<(), ConnectError>) {
    engine.handle(now, input);
    while let Some(action) = engine.poll_action() {
        if let Action::Connect(node) = action {
            let result = result.clone();
            engine.handle(now, Input::ConnectResult { node, result });
        }
    }
}

/// The times that the same number of snapshots took, each with its actions taken but nothing carried out.
fn snapshots(changed: usize) -> Vec<Duration> {
    let mut engine = engine();
    let provider = provider();
    let mut now = Duration::from_secs(1);
    let nodes = names(0..NODES);
    settle(
        &mut engine,
        now,
        Input::Snapshot { provider, nodes },
        &Ok(()),
    );
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        now += Duration::from_secs(1);
        let nodes = names(round * changed..NODES + round * changed);
        let since = Instant::now();
        engine.handle(now, Input::Snapshot { provider, nodes });
        let mut connects = Vec::new();
        while let Some(action) = engine.poll_action() {
            if let Action::Connect(node) = black_box(action) {
                connects.push(node);
            }
        }
        times.push(since.elapsed());
        for node in connects {
            let result = Ok(());
            settle(
                &mut engine,
                now,
                Input::ConnectResult { node, result },
                &Ok(()),
            );
        }
        // Who is gone is also disconnected, or the cluster would grow.
        for node in names((round - 1) * changed..round * changed) {
            settle(
                &mut engine,
                now,
                Input::Down { node, reason: None },
                &Ok(()),
            );
        }
    }
    assert_eq!(engine.nodes().count(), NODES);
    times.sort();
    times
}

/// Bytes a node that remain allocated, the node's name among them.
fn memory(input: impl Fn(NodeName) -> Input, result: &Result<(), ConnectError>) -> usize {
    let region = Region::new(ALLOCATOR);
    let mut engine = engine();
    let now = Duration::from_secs(1);
    for name in names(0..NODES) {
        settle(&mut engine, now, input(name), result);
    }
    let stats = region.change();
    assert_eq!(engine.nodes().count(), NODES);
    (stats.bytes_allocated - stats.bytes_deallocated) / NODES
}

fn main() -> ExitCode {
    println!("engine, {NODES} nodes");
    let mut medians = Vec::new();
    for (what, changed) in [("1% changed", CHANGED), ("nothing changed", 0)] {
        let times = snapshots(changed);
        let (median, worst) = (times[ROUNDS / 2], times[ROUNDS - 1]);
        println!("  full snapshot, {what}: median {median:?}, worst of {ROUNDS} {worst:?}");
        medians.push(median);
    }
    let ratio = TIME_GOAL.as_secs_f64() / medians[0].as_secs_f64();
    let verdict = if ratio >= 1.0 { "met" } else { "MISSED" };
    println!("  goal {TIME_GOAL:?} for 1% changed: {verdict}, {ratio:.1} times as fast");

    let provider = provider();
    let seen = |node| Input::Seen {
        provider,
        node,
        ttl: Duration::from_secs(60),
    };
    let up = |node| Input::Up { node };
    let error = ConnectError {
        reason: "refused".into(),
        message: "10.0.0.1:4369 refused the connection: no EPMD runs there; start one, or the node"
            .into(),
    };
    let mut met = true;
    for (what, bytes) in [
        ("announced and connected", memory(seen, &Ok(()))),
        ("announced and failing", memory(seen, &Err(error))),
        ("connected by others", memory(up, &Ok(()))),
    ] {
        println!("  memory, {what}: {bytes} bytes a node, goal {MEMORY_GOAL}");
        met &= bytes < MEMORY_GOAL;
    }
    if met {
        ExitCode::SUCCESS
    } else {
        println!("  memory goal MISSED");
        ExitCode::FAILURE
    }
}
