//! What only whole systems of real nodes can show, as ratios against something run beside it.
//!
//! - A late joiner by multicast against the floor: a node that already knows every name and plainly
//!   connects to them, one after the other, as a script would.
//! - The resident memory of the sidecar with 50 peers.
//!
//! It takes the built Erlang application: run it by `make bench`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Beam, BeamOptions, Epmd, beam_is_installed, free_udp_port, skip};

const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    if !beam_is_installed("the measurements of whole systems") {
        return;
    }
    let Ok(ebin) = std::env::var("RENDEZ_TEST_ERLANG_EBIN") else {
        skip(
            "the measurements of whole systems",
            "RENDEZ_TEST_ERLANG_EBIN is not set; run make bench, which builds the package",
        );
        return;
    };
    let mut goals_met = true;
    for nodes in [5, 20] {
        goals_met &= multicast_join(&ebin, nodes);
    }
    goals_met &= sidecar_memory(50);
    if !goals_met {
        std::process::exit(1);
    }
}

/// Counts `nodeup`s until `Wanted` nodes are there; gives microseconds since `T0`.
const COUNT: &str = "Count = fun C() -> case length(nodes()) of Wanted -> erlang:monotonic_time(microsecond) - T0; \
     _ -> receive {nodeup, _} -> C() after 60000 -> error({still, nodes()}) end end end, Count()";

fn small(name: &str) -> BeamOptions {
    BeamOptions::erl(name).flags(["+S", "1:1"])
}

fn multicast_join(ebin: &str, size: usize) -> bool {
    const ROUNDS: usize = 7;
    let epmd = Epmd::start();
    let start = format!(
        "application:set_env(rendez, via, multicast), application:set_env(rendez, port, {}), \
         {{ok, _}} = application:ensure_all_started(rendez)",
        free_udp_port()
    );
    let mut cluster: Vec<Beam> = (1..=size)
        .map(|number| {
            let options = small(&format!("member{number}@127.0.0.1")).path(ebin);
            let mut node = Beam::start(&epmd, &options);
            node.eval(&start);
            node
        })
        .collect();
    let everyone = format!("length(nodes()) =:= {}", size - 1);
    for node in &mut cluster {
        node.wait_until(&everyone, PATIENCE, |value| value == "true");
    }
    let names: Vec<String> = cluster
        .iter()
        .map(|node| format!("'{}'", node.name))
        .collect();
    let connect = format!("[net_kernel:connect_node(N) || N <- [{}]]", names.join(","));

    let mut join = |round: usize, how: &str, act: &str| {
        let name = format!("{how}{round}@127.0.0.1");
        let mut joiner = Beam::start(&epmd, &small(&name).path(ebin));
        joiner.eval("net_kernel:monitor_nodes(true)");
        let took = joiner.eval(&format!(
            "Wanted = {size}, T0 = erlang:monotonic_time(microsecond), {act}, {COUNT}"
        ));
        drop(joiner);
        // The next one finds a cluster at rest.
        for node in &mut cluster {
            node.wait_until(&everyone, PATIENCE, |value| value == "true");
        }
        took.parse::<f64>().expect("microseconds") / 1000.0
    };
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        floors.push(join(round, "plain", &connect));
        ours.push(join(round, "late", &start));
    }
    let (ours, floor) = (median(&mut ours), median(&mut floors));
    let ratio = ours / floor;
    let met = ratio <= 2.0;
    println!(
        "a late joiner among {size:>2} nodes, by multicast      {ours:>7.1} ms   floor {floor:>7.1} ms   ratio {ratio:.2}   goal 2: {}",
        verdict(met)
    );
    met
}

fn sidecar_memory(peers: usize) -> bool {
    const GOAL_MIB: f64 = 15.0;
    let epmd = Epmd::start();
    let quiet = |name: &str| small(name).flags(["+S", "1:1", "-connect_all", "false"]);
    let mut release = Beam::start(&epmd, &quiet("release@127.0.0.1"));
    let nodes: Vec<Beam> = (0..peers)
        .map(|number| Beam::start(&epmd, &quiet(&format!("peer{number}@127.0.0.1"))))
        .collect();
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let sidecar = Sidecar(
        Command::new(env!("CARGO_BIN_EXE_rendez"))
            .args(["attach", "release@127.0.0.1", "--via", "list"])
            .args(["--node-list", &names.join(",")])
            .env("ERL_EPMD_PORT", epmd.port.to_string())
            .env("RENDEZ_COOKIE", "rendez-tests")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the sidecar starts"),
    );
    release.wait_until(&format!("length(nodes()) =:= {peers}"), PATIENCE, |value| {
        value == "true"
    });
    // What it takes while at rest, not in the moment of the last join.
    std::thread::sleep(Duration::from_secs(5));
    let Some(resident) = resident_mib(sidecar.0.id()) else {
        skip("the sidecar's memory", "there is no /proc here");
        return true;
    };
    let met = resident < GOAL_MIB;
    println!(
        "the sidecar with {peers} peers, resident                {resident:>7.1} MiB   goal {GOAL_MIB} MiB: {}",
        verdict(met)
    );
    met
}

/// Ends with the measurement, however that ends.
struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn resident_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
