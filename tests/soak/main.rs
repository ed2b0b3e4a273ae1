//! The soak: twelve BEAMs and four nodes of the crate, on a host each, while nodes and their hosts, networks and
//! sources fail at random, for as long as wanted. Run it by `scripts/test soak HOURS`.
//!
//! It goes by rounds. In each one to three faults happen at once (`faults`), then the cluster has to be whole again
//! within ten seconds. Every node writes down which connections end, when and why (`soak_observer.erl`,
//! `rust_node`), and each of these has to be explained by a fault of one of the two ends (`ledger`). While the
//! cluster is at rest between two rounds, memory and file descriptors of every process are sampled (`resources`).
//! What happened is written into `target/soak/SEED/`, with a report at the end.
#![cfg(feature = "cli")]

#[path = "../support/mod.rs"]
mod support;

mod events;
mod faults;
mod ledger;
mod member;
mod report;
mod resources;
mod rust_node;
mod settings;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use ledger::{Cause, Fault, explain};
use member::{Kind, Member, World};
use report::Report;
use resources::Resources;
use settings::{GIVEN_UP, SETTLE, Settings, WHOLE_WITHIN, now_ms};
use sources::Sources;
use support::{Epmd, Lan, free_tcp_port};

const OBSERVER: &str = include_str!("soak_observer.erl");

/// Kind, whether it asks the DNS, whether it stays: never killed, rolled or removed.
const MEMBERS: [(Kind, bool, bool); 16] = [
    (Kind::Erlang, true, true),
    (Kind::Erlang, true, false),
    (Kind::Erlang, true, false),
    (Kind::Erlang, false, true),
    (Kind::Erlang, false, false),
    (Kind::Erlang, false, false),
    (Kind::Elixir, true, true),
    (Kind::Elixir, false, false),
    (Kind::Sidecar, true, true),
    (Kind::Sidecar, false, false),
    (Kind::Sidecar, true, false),
    (Kind::Renamed, false, false),
    (Kind::RustVisible, true, true),
    (Kind::RustVisible, false, false),
    (Kind::RustHidden, false, true),
    (Kind::RustHidden, true, false),
];

/// Whether somebody wants the soak to end now; it still writes its report.
static STOPPED: AtomicBool = AtomicBool::new(false);

#[test]
#[ignore = "as long as RENDEZ_SOAK_HOURS says: run scripts/test soak HOURS"]
fn no_healthy_connection_ends_and_the_cluster_is_whole_again_soon() {
    let what = "the soak";
    let Some(settings) = Settings::from_environment() else {
        support::skip(
            what,
            "RENDEZ_SOAK_HOURS is not set: run scripts/test soak HOURS",
        );
        return;
    };
    if !support::beam_is_installed(what) {
        return;
    }
    let hosts = u8::try_from(MEMBERS.len()).expect("few");
    let Some(lan) = Lan::new(hosts, what) else {
        return;
    };
    stop_on_signals();
    prepare_folder(&settings);
    let port = free_tcp_port();
    let epmds = (1..=hosts)
        .map(|host| Epmd::start_on(port, &lan.enter(host)))
        .collect();
    let sources = Sources::start(&lan.machine(), &settings.folder);
    let world = World {
        settings,
        lan,
        epmds,
        sources,
    };
    let members: Vec<Mutex<Member>> = (1..)
        .zip(MEMBERS)
        .map(|(number, (kind, dns, stays))| {
            Mutex::new(Member::new(&world, number, kind, dns, stays))
        })
        .collect();
    let mut soak = Soak {
        log: Mutex::new(File::create(world.settings.folder.join("log")).expect("a log")),
        samples: File::create(world.settings.folder.join("resources.csv")).expect("a table"),
        world: &world,
        members: &members,
        resources: Resources::default(),
        report: Report::default(),
        last: now_ms(),
    };
    soak.start();
    soak.run();
    let failures = soak.finish();
    assert!(
        failures.is_empty(),
        "{}\nsee {}",
        failures.join("\n"),
        world.settings.folder.display()
    );
}

fn stop_on_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let mut terminate = signal(SignalKind::terminate()).expect("signals");
            let mut interrupt = signal(SignalKind::interrupt()).expect("signals");
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            STOPPED.store(true, Ordering::Relaxed);
        });
    });
}

/// Empties the folder of this run, and compiles the observer into it.
fn prepare_folder(settings: &Settings) {
    let folder = &settings.folder;
    if folder.exists() {
        fs::remove_dir_all(folder).expect("what is left of an earlier run");
    }
    for name in ["ebin", "events", "logs"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    let source = folder.join("soak_observer.erl");
    fs::write(&source, OBSERVER).expect("a file");
    let compiled = Command::new("erlc")
        .arg("-o")
        .arg(folder.join("ebin"))
        .arg(&source)
        .status();
    assert!(
        compiled.is_ok_and(|status| status.success()),
        "erlc compiles the observer"
    );
}

struct Soak<'a> {
    log: Mutex<File>,
    samples: File,
    world: &'a World,
    members: &'a [Mutex<Member>],
    resources: Resources,
    report: Report,
    /// Up to when events were judged.
    last: u64,
}

impl Soak<'_> {
    fn say(&self, words: &str) {
        say(&self.log, words);
    }

    /// Starts all, and waits until the cluster is whole for the first time.
    fn start(&mut self) {
        let names: Vec<String> = self
            .members
            .iter()
            .map(|member| member.lock().expect("not poisoned").name())
            .collect();
        self.world.sources.change(&names, &[]);
        let began = Instant::now();
        for member in self.members {
            let mut member = member.lock().expect("not poisoned");
            member.start(self.world);
            say(
                &self.log,
                &format!("{} is {}", member.label(), member.name()),
            );
        }
        let began_healing = now_ms();
        let healed = self.wait_until_whole(began_healing);
        self.say(&format!(
            "the first time whole {healed:?} after the last start, {:?} after the first",
            began.elapsed()
        ));
        assert!(
            healed.is_some(),
            "the cluster did not become whole: {:?}",
            self.missing()
        );
        // Nodes that all start at once may lose a connection to a simultaneous attempt; it counts from here on.
        sleep(SETTLE);
        let _ = self.take_events();
        self.last = now_ms();
    }

    /// One round after the other.
    fn run(&mut self) {
        let mut random = StdRng::seed_from_u64(self.world.settings.seed);
        let began = Instant::now();
        while began.elapsed() < self.world.settings.span && !STOPPED.load(Ordering::Relaxed) {
            self.report.rounds += 1;
            let plans = faults::choose(&mut random, self.members, &self.world.settings.only);
            let offsets: Vec<f64> = plans
                .iter()
                .map(|_| random.random_range(0.0..4.0))
                .collect();
            self.say(&format!("round {}: {plans:?}", self.report.rounds));
            let mut faults = self.carry_out(&plans, &offsets);
            faults.sort_by_key(|fault| fault.began);
            let ended = faults.iter().map(|fault| fault.ended).max();
            let healed = self.wait_until_whole(ended.unwrap_or_else(now_ms));
            let whole = now_ms();
            if let Some(healed) = healed {
                self.say(&format!(
                    "whole {:.1} s after the last fault",
                    healed.as_secs_f64()
                ));
                self.report.healed(&faults, healed);
                if healed > WHOLE_WITHIN {
                    self.report.late += 1;
                }
            } else {
                let missing = self.missing().join("; ");
                self.say(&format!("NOT WHOLE after {GIVEN_UP:?}: {missing}"));
                self.report.failures.push(format!(
                    "round {}: not whole {GIVEN_UP:?} after the last fault: {missing}",
                    self.report.rounds
                ));
            }
            sleep(SETTLE);
            self.judge(&faults, whole);
            self.report.faults.extend(faults);
            self.look_after();
            if healed.is_none() {
                return;
            }
        }
    }

    fn carry_out(&self, plans: &[faults::Plan], offsets: &[f64]) -> Vec<Fault> {
        let (log, world, members) = (&self.log, self.world, self.members);
        std::thread::scope(|scope| {
            let running: Vec<_> = plans
                .iter()
                .zip(offsets)
                .map(|(plan, offset)| {
                    scope.spawn(move || {
                        sleep(Duration::from_secs_f64(*offset));
                        faults::carry_out(plan, world, members, &|words| say(log, words))
                    })
                })
                .collect();
            running
                .into_iter()
                .flat_map(|thread| thread.join().expect("the fault is done"))
                .collect()
        })
    }

    /// How long after `ended` every node saw every other one; `None` if that does not come.
    fn wait_until_whole(&self, ended: u64) -> Option<Duration> {
        let start = Instant::now();
        let mut told = false;
        loop {
            let missing = self.missing();
            let since = Duration::from_millis(now_ms().saturating_sub(ended));
            if missing.is_empty() {
                return Some(since);
            }
            if !told && since > WHOLE_WITHIN {
                told = true;
                self.say(&format!("LATE: not whole yet: {}", missing.join("; ")));
            }
            if start.elapsed() > GIVEN_UP {
                return None;
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// What is missing for the cluster to be whole.
    fn missing(&self) -> Vec<String> {
        let names: BTreeMap<u8, (String, bool)> = self
            .members
            .iter()
            .map(|member| {
                let member = member.lock().expect("not poisoned");
                (member.number, (member.name(), member.is_hidden()))
            })
            .collect();
        let mut missing = Vec::new();
        for member in self.members {
            let mut member = member.lock().expect("not poisoned");
            let connected = member.connected();
            let own = member.own_peers();
            let wanted: BTreeSet<String> = names
                .iter()
                .filter(|(number, _)| **number != member.number)
                .map(|(_, (name, _))| name.clone())
                .chain(own)
                .collect();
            let away: Vec<_> = wanted.difference(&connected).cloned().collect();
            if !away.is_empty() {
                missing.push(format!(
                    "{} ({}) does not see {}",
                    member.label(),
                    member.name(),
                    away.join(", ")
                ));
            }
            // A node that goes on under another name must not be seen under the old one.
            let known = |name: &str| {
                name.starts_with(|c: char| "abc".contains(c)) && name[1..].starts_with('@')
            };
            let old: Vec<_> = connected
                .iter()
                .filter(|name| known(name) && !wanted.contains(*name))
                .collect();
            if !old.is_empty() {
                missing.push(format!("{} still sees {old:?}", member.label()));
            }
        }
        missing
    }

    fn take_events(&self) -> Vec<events::Event> {
        let mut events: Vec<_> = self
            .members
            .iter()
            .flat_map(|member| {
                let mut member = member.lock().expect("not poisoned");
                let events: Vec<_> = member
                    .trails
                    .iter_mut()
                    .flat_map(events::Trail::take)
                    .collect();
                // Those of earlier lives end here.
                let last = member.trails.len().saturating_sub(1);
                member.trails.drain(..last);
                events
            })
            .collect();
        events.sort_by_key(|event| event.at);
        events
    }

    fn number_of(&self, name: &str) -> Option<u8> {
        let (_, host) = name.split_once('@')?;
        (1..=u8::try_from(self.members.len()).ok()?)
            .find(|number| self.world.lan.address(*number) == host)
    }

    /// Says of each connection that was lost in a round why it was.
    fn judge(&mut self, faults: &[Fault], whole: u64) {
        let events = self.take_events();
        for (event, cause) in explain(&events, faults, whole, |name| self.number_of(name)) {
            let events::What::Down(node, reason) = &event.what else {
                continue;
            };
            let words = format!(
                "n{:02} lost {node} at {} ({reason})",
                event.member, event.at
            );
            match cause {
                Cause::Fault(index) => {
                    self.report.down(faults[index].kind, reason);
                    let mut log = self.log.lock().expect("not poisoned");
                    let _ = writeln!(log, "{}   {words}: {}", event.at, faults[index].kind);
                }
                Cause::Global => {
                    self.say(&format!("CUT BY GLOBAL: {words}"));
                    self.report
                        .by_global
                        .push(format!("round {}: {words}", self.report.rounds));
                }
                Cause::Unexplained => {
                    self.say(&format!("UNEXPLAINED: {words}"));
                    self.report
                        .unexplained
                        .push(format!("round {}: {words}", self.report.rounds));
                }
            }
        }
        for event in &events {
            if let events::What::Log(text) = &event.what {
                let mut log = self.log.lock().expect("not poisoned");
                let _ = writeln!(log, "{}   n{:02} logs: {text}", event.at, event.member);
            }
        }
        self.last = now_ms();
    }

    /// Takes samples of all processes, and looks whether they are all there.
    fn look_after(&mut self) {
        let mut processes = vec![(
            resources::OURS.to_owned(),
            std::process::id(),
            String::new(),
        )];
        for member in self.members {
            let mut member = member.lock().expect("not poisoned");
            member.save_log(self.world);
            if let Some(ended) = member.broken() {
                self.report
                    .failures
                    .push(format!("round {}: {ended}", self.report.rounds));
            }
            let label = member.label();
            for (what, pid, own) in member.processes() {
                processes.push((format!("{label} {what}"), pid, own));
            }
        }
        for (label, pid, own) in processes {
            if let Some(line) = self.resources.sample(&label, pid, &own) {
                writeln!(self.samples, "{},{line}", now_ms()).expect("the table can be written");
            }
        }
    }

    /// Ends the cluster and writes the report. What failed is given.
    fn finish(mut self) -> Vec<String> {
        let (grown, table) = self.resources.judge();
        let (text, failures) =
            std::mem::take(&mut self.report).conclude(&self.world.settings, grown, &table);
        fs::write(self.world.settings.folder.join("report.txt"), &text)
            .expect("the report can be written");
        println!("{text}");
        failures
    }
}

fn say(log: &Mutex<File>, words: &str) {
    println!("{} {words}", now_ms());
    let mut log = log.lock().expect("not poisoned");
    let _ = writeln!(log, "{} {words}", now_ms());
}
