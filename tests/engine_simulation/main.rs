//! Whole clusters in one process, with the engine and the multicast announcer as they are, on a simulated
//! network and clock. All times are of the simulated clock.

#![cfg(feature = "discovery")]

mod sample;
#[path = "../support/seed.rs"]
mod seed;
mod world;

use std::time::Duration;

use world::World;

const SECOND: Duration = Duration::from_secs(1);

/// Runs until the cluster is whole, and checks that it is.
fn whole(world: &mut World, limit: Duration) -> Duration {
    let took = world.run_until(limit, World::is_whole);
    let took = took.unwrap_or_else(|| panic!("not whole after {limit:?}"));
    world.check();
    took
}

#[test]
fn a_thousand_nodes_find_and_join_each_other_under_30_percent_loss() {
    let mut world = World::new(1_000, SECOND, 0.3);
    let took = whole(&mut world, 120 * SECOND);
    println!(
        "1,000 nodes started within 1 s, 30% loss: whole after {took:?}, {} datagrams, {} attempts",
        world.sent, world.attempts
    );
    // Both ends may try at once, and no one tries without end.
    assert!(world.attempts < 1_000 * 999 * 2);
}

/// The same with a thousand nodes, which takes too long for every run of the tests.
macro_rules! large {
    ($name:ident, $body:ident) => {
        #[test]
        #[ignore = "minutes: `scripts/test long` runs it, optimised"]
        fn $name() {
            $body(1_000);
        }
    };
}

#[test]
fn a_partition_heals() {
    partition(100);
}

large!(a_partition_of_a_thousand_nodes_heals, partition);

fn partition(size: usize) {
    let mut world = World::new(size, SECOND, 0.1);
    whole(&mut world, 120 * SECOND);
    world.cut(true);
    let parted = world.run_until(1_200 * SECOND, World::is_parted);
    world.check();
    // Both sides have forgotten each other altogether, and go on for a while.
    let parted = parted.expect("each side has only itself");
    world.run(300 * SECOND);
    assert!(world.is_parted());
    world.cut(false);
    let healed = whole(&mut world, 120 * SECOND);
    println!("{size} nodes: parted after {parted:?}, whole {healed:?} after the cut was mended");
}

#[test]
fn a_short_cut_heals_while_its_nodes_still_back_off() {
    let mut world = World::new(100, SECOND, 0.1);
    whole(&mut world, 60 * SECOND);
    world.cut(true);
    world.run(80 * SECOND);
    world.check();
    world.cut(false);
    whole(&mut world, 60 * SECOND);
}

#[test]
fn a_rolling_restart_of_all_nodes_ends_whole() {
    rolling_restart(100);
}

large!(
    a_rolling_restart_of_a_thousand_nodes_ends_whole,
    rolling_restart
);

fn rolling_restart(size: usize) {
    let mut world = World::new(size, SECOND, 0.1);
    whole(&mut world, 120 * SECOND);
    for host in 0..size {
        // Every third crashes; some are back within a blink, others take their time.
        let after = SECOND * u32::try_from(host).unwrap();
        let pause = Duration::from_millis(50) * u32::try_from(host % 40).unwrap();
        world.restart(host, after, host % 3 != 0, pause);
    }
    let mut late = 0;
    for _ in 0..size + 3 {
        world.run(SECOND);
        // Who is back for half a second is connected to all who live.
        late += world.joining(5 * SECOND) - world.joining(SECOND / 2);
    }
    let took = whole(&mut world, 60 * SECOND);
    println!("{size} nodes restarted one by one; whole {took:?} after the last; {late} late joins");
    // In a small cluster a newcomer learns all from one answer. A thousand names are a dozen pages, of which
    // one is easily lost; who misses one learns the rest from what others announce, within seconds.
    assert!(late < size / 4, "{late} nodes joined late");
}
