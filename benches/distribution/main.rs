//! Messages to and from a real BEAM, over this crate's channel beside libei, erl_dist and another BEAM.
//!
//! Every contender is a process of its own that talks to the same node, one at a time, in turns, so that
//! a slow moment of the machine hits all of them; of each the best turn counts. The ratios are against
//! libei's, above 1 where we are faster. Run it by `scripts/bench distribution`.

#[path = "../../tests/support/mod.rs"]
mod support;

mod crowd;
mod erl_dist;
mod limit;
mod node;
mod ours;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use support::{Beam, BeamOptions, Epmd, beam_command, beam_is_installed, skip};

const COOKIE: &str = "rendez-tests";
const MIB: usize = 1 << 20;
const PEER: &str = "bench@127.0.0.1";
const TURNS: usize = 11;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work {
    Roundtrips,
    Sends,
    Receives,
    BinariesOut,
    BinariesIn,
    RpcOne,
    Rpc64,
}

impl Work {
    const ALL: [Self; 7] = [
        Self::Roundtrips,
        Self::Sends,
        Self::Receives,
        Self::BinariesOut,
        Self::BinariesIn,
        Self::RpcOne,
        Self::Rpc64,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Roundtrips => "roundtrips",
            Self::Sends => "sends",
            Self::Receives => "receives",
            Self::BinariesOut => "binaries_out",
            Self::BinariesIn => "binaries_in",
            Self::RpcOne => "rpc_one",
            Self::Rpc64 => "rpc_64",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Roundtrips => "round trips of a small tuple",
            Self::Sends => "300,000 small messages sent",
            Self::Receives => "300,000 small messages received",
            Self::BinariesOut => "1 MiB binaries sent",
            Self::BinariesIn => "1 MiB binaries received",
            Self::RpcOne => "rpc calls, one at a time",
            Self::Rpc64 => "rpc calls, 64 at a time",
        }
    }

    fn count(self) -> u64 {
        match self {
            Self::Roundtrips => 10_000,
            Self::Sends | Self::Receives => 300_000,
            Self::BinariesOut | Self::BinariesIn => 1_000,
            Self::RpcOne => 6_400,
            Self::Rpc64 => 64_000,
        }
    }

    /// What a second of the work is called, and how many of them `count` are in `seconds`.
    fn rate(self, seconds: f64) -> String {
        let rate = self.count() as f64 / seconds;
        match self {
            Self::Roundtrips | Self::RpcOne => format!("{:.0} us", 1e6 / rate),
            Self::Sends | Self::Receives => format!("{:.2} M/s", rate / 1e6),
            Self::BinariesOut | Self::BinariesIn => {
                format!("{:.2} GB/s", rate * MIB as f64 / 1e9)
            }
            Self::Rpc64 => format!("{:.0} k/s", rate / 1e3),
        }
    }

    /// Whether it goes one way, so that the peer's own rate can be measured.
    fn has_limit(self) -> bool {
        !matches!(self, Self::Roundtrips | Self::RpcOne | Self::Rpc64)
    }

    /// How many times as fast as libei we are to be at least: where it is "not slower", a twentieth is
    /// left to chance.
    fn goal(self) -> f64 {
        match self {
            Self::Sends => 1.5,
            _ => 0.95,
        }
    }
}

/// The CPU time that this process has used, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may hold anything; the 14th and 15th field are ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|tick| tick.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// Prints what a client prints: the seconds since `start`, and the seconds of CPU time.
fn report((started, used): (Instant, f64)) {
    println!("{:.6} {:.6}", started.elapsed().as_secs_f64(), cpu() - used);
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // One side of a measurement, started by the code below.
    if let [_, role, port] = &arguments[..]
        && ["serve", "talk", "rest"].contains(&&role[..])
    {
        let epmd = Epmd::elsewhere(port.parse().expect("a port"));
        match &role[..] {
            "serve" => crowd::serve(&epmd),
            "talk" => crowd::talk(&epmd),
            _ => crowd::rest(&epmd),
        }
        return ExitCode::SUCCESS;
    }
    if let [_, kind, port, own, work, count] = &arguments[..] {
        let epmd = Epmd::elsewhere(port.parse().expect("a port"));
        let work = Work::ALL.into_iter().find(|w| w.name() == work);
        let (work, count) = (work.expect("a work"), count.parse().expect("a count"));
        match &kind[..] {
            "node" => node::run(&epmd, own, PEER, work, count),
            "ours" => ours::run(&epmd, own, PEER, work, count),
            "limit" => limit::run(&epmd, own, PEER, work, count),
            "erl_dist" => erl_dist::run(&epmd, own, PEER, work, count),
            other => panic!("no contender is called {other}"),
        }
        return ExitCode::SUCCESS;
    }
    if !beam_is_installed("the measurements of the distribution") {
        return ExitCode::SUCCESS;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let libei = build_libei(folder.path());
    if libei.is_none() {
        skip(
            "libei in the measurements of the distribution",
            "cc or libei (Debian's erlang-dev) is not installed",
        );
    }
    compile_peer(folder.path());
    let race = Race {
        epmd: Epmd::start(),
        ebin: folder.path().to_owned(),
        libei,
    };
    let only = std::env::var("RENDEZ_BENCH_WORKS").ok();
    let mut met = true;
    for work in Work::ALL {
        if only.as_ref().is_none_or(|only| only.contains(work.name())) {
            met &= race.run(work);
        }
    }
    if only.as_ref().is_none_or(|only| only.contains("crowd")) {
        met &= race.crowd();
    }
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Compiles the C program; `None` if there is no libei to compile it with.
fn build_libei(folder: &Path) -> Option<PathBuf> {
    let root = beam_command("erl")
        .args(["-noshell", "-eval"])
        .arg("io:put_chars(code:lib_dir(erl_interface)), halt().")
        .output()
        .ok()?;
    let root = PathBuf::from(String::from_utf8(root.stdout).ok()?);
    let program = folder.join("libei");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/distribution/libei.c");
    let status = Command::new("cc")
        .args(["-O2", "-D_REENTRANT", "-o"])
        .args([&program, &source])
        .arg("-I")
        .arg(root.join("include"))
        .arg("-L")
        .arg(root.join("lib"))
        .args(["-lei", "-lpthread"])
        .stderr(Stdio::inherit())
        .status();
    status
        .is_ok_and(|status| status.success())
        .then_some(program)
}

fn compile_peer(folder: &Path) {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/distribution/rendez_bench.erl");
    let status = beam_command("erlc")
        .arg("-o")
        .arg(folder)
        .arg(source)
        .status();
    assert!(status.expect("erlc runs").success(), "the module compiles");
}

struct Race {
    epmd: Epmd,
    ebin: PathBuf,
    libei: Option<PathBuf>,
}

/// What a contender needed: seconds, and seconds of its own CPU time.
type Took = (f64, f64);

impl Race {
    /// `node` is a process of a node of ours, `ours` the bare channel under it; `limit` is what the peer can
    /// do, where nobody waits for answers.
    const CONTENDERS: [&str; 6] = ["node", "ours", "limit", "libei", "erl_dist", "BEAM"];

    fn run(&self, work: Work) -> bool {
        let mut best: HashMap<&str, Took> = HashMap::new();
        let mut peer = Beam::start(&self.epmd, &BeamOptions::erl(PEER).path(&self.ebin));
        peer.eval("rendez_bench:start()");
        for turn in 0..TURNS {
            for contender in Self::CONTENDERS {
                if contender == "limit" && !work.has_limit() {
                    continue;
                }
                let own = format!("{contender}{turn}@127.0.0.1").to_lowercase();
                let Some(mut command) = self.command(contender, &own, work) else {
                    continue;
                };
                let output = command
                    .env("ERL_EPMD_PORT", self.epmd.port.to_string())
                    .stderr(Stdio::inherit())
                    .output()
                    .expect("a contender runs");
                let text = String::from_utf8_lossy(&output.stdout);
                let numbers: Vec<f64> = text
                    .split_whitespace()
                    .filter_map(|word| word.parse().ok())
                    .collect();
                let [took, used] = numbers[..] else {
                    panic!("{contender}, {}: {:?} {text}", work.name(), output.status);
                };
                let entry = best.entry(contender).or_insert((took, used));
                if took < entry.0 {
                    *entry = (took, used);
                }
            }
        }
        print(work, &best)
    }

    fn command(&self, contender: &str, own: &str, work: Work) -> Option<Command> {
        let count = work.count().to_string();
        match contender {
            "libei" => {
                let mut command = Command::new(self.libei.as_ref()?);
                command.args([own, PEER, COOKIE, work.name(), &count]);
                Some(command)
            }
            "BEAM" => {
                let mut command = beam_command("erl");
                command
                    .args(["-noshell", "-hidden", "-name", own, "-setcookie", COOKIE])
                    .arg("-pa")
                    .arg(&self.ebin)
                    .arg("-eval")
                    .arg(format!(
                        "rendez_bench:client('{PEER}', {}, {count}), halt().",
                        work.name()
                    ));
                Some(command)
            }
            ours => {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                let port = self.epmd.port.to_string();
                command.args([ours, &port, own, work.name(), &count]);
                Some(command)
            }
        }
    }
}

fn print(work: Work, best: &HashMap<&str, Took>) -> bool {
    let mut line = format!("{:<32}", work.title());
    for contender in Race::CONTENDERS {
        if let Some((took, used)) = best.get(contender) {
            let core = 100.0 * used / took;
            line += &format!("  {contender} {} ({core:.0}% of a core)", work.rate(*took));
        }
    }
    println!("{line}");
    let Some(libei) = best.get("libei") else {
        return true;
    };
    let goal = work.goal();
    let ratio = |contender| {
        let ratio = libei.0 / best[contender].0;
        (ratio, ratio >= goal)
    };
    let ((node, met), (ours, _)) = (ratio("node"), ratio("ours"));
    let limit = match best.get("limit") {
        Some(limit) => format!("  node/limit {:.2}", limit.0 / best["node"].0),
        None => String::new(),
    };
    println!(
        "{:<32}  node/libei {node:.2}  ours/libei {ours:.2}  goal {goal}: {}{limit}",
        "",
        verdict(met)
    );
    met
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
