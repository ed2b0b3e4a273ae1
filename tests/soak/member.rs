//! One member of the cluster: a host, the node on it, and what runs beside the node.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::events::Trail;
use crate::rust_node::RustNode;
use crate::settings::{COOKIE, GIVEN_UP, Settings, TICK_TIME};
use crate::sources::{LETTERS, Sources};
use crate::support::{Beam, BeamOptions, Epmd, Lan};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An `erl` with the package.
    Erlang,
    /// An `iex` with the package.
    Elixir,
    /// An `erl` with the package whose name changes while it runs.
    Renamed,
    /// An unchanged `erl` with a sidecar.
    Sidecar,
    /// A visible node of the crate.
    RustVisible,
    /// A hidden node of the crate.
    RustHidden,
}

/// What all members share.
pub struct World {
    pub settings: Settings,
    pub lan: Lan,
    pub epmds: Vec<Epmd>,
    pub sources: Sources,
}

impl World {
    pub fn epmd(&self, number: u8) -> &Epmd {
        &self.epmds[usize::from(number) - 1]
    }

    fn file(&self, name: &str) -> PathBuf {
        self.settings.folder.join(name)
    }

    fn within(&self, number: u8, program: &str) -> Command {
        let words = self.lan.enter(number);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(program);
        command.env("ERL_EPMD_PORT", self.epmd(number).port.to_string());
        command
    }
}

enum Process {
    Beam(Beam),
    Rust(RustNode),
}

struct SidecarProcess(Child);

impl Drop for SidecarProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A member.
pub struct Member {
    pub number: u8,
    pub kind: Kind,
    /// Whether it finds its peers through DNS; otherwise through the file.
    pub dns: bool,
    /// Whether it is never killed, rolled or removed, so that its memory can be followed.
    pub stays: bool,
    address: String,
    generation: usize,
    /// How often it was started.
    lives: u32,
    process: Option<Process>,
    sidecar: Option<SidecarProcess>,
    /// The events of the present life, and of those before it.
    pub trails: Vec<Trail>,
}

impl Member {
    pub fn new(world: &World, number: u8, kind: Kind, dns: bool, stays: bool) -> Self {
        Self {
            number,
            kind,
            dns,
            stays,
            address: world.lan.address(number),
            generation: 0,
            lives: 0,
            process: None,
            sidecar: None,
            trails: Vec::new(),
        }
    }

    /// Its full name now.
    pub fn name(&self) -> String {
        let letter = LETTERS[self.generation % LETTERS.len()];
        format!("{letter}@{}", self.address)
    }

    /// The name of the hidden node of its sidecar.
    fn sidecar_name(&self) -> String {
        format!("sidecar@{}", self.address)
    }

    pub fn is_hidden(&self) -> bool {
        self.kind == Kind::RustHidden
    }

    pub fn is_rust(&self) -> bool {
        matches!(self.kind, Kind::RustVisible | Kind::RustHidden)
    }

    pub fn has_package(&self) -> bool {
        matches!(self.kind, Kind::Erlang | Kind::Elixir | Kind::Renamed)
    }

    /// How it is called in the report.
    pub fn label(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        format!("n{:02} {kind}", self.number)
    }

    /// Starts its node, and what runs beside it.
    pub fn start(&mut self, world: &World) {
        self.lives += 1;
        let label = format!("n{:02}-{:03}", self.number, self.lives);
        let events = world.file(&format!("events/{label}"));
        File::create(&events).expect("a file for events");
        self.trails.push(Trail::new(self.number, events.clone()));
        if self.is_rust() {
            let mut command = world.within(
                self.number,
                std::env::current_exe()
                    .expect("the test's binary")
                    .to_str()
                    .expect("a plain path"),
            );
            command.args(RustNode::WORDS);
            let options = self.toml(world);
            let mut node = RustNode::start(
                command,
                &self.name(),
                !self.is_hidden(),
                &options,
                &events,
                self.log(world),
            );
            let start = Instant::now();
            while std::fs::metadata(&events).is_ok_and(|data| data.len() == 0) {
                assert!(!node.ended(), "{label} did not start: see its log");
                assert!(start.elapsed() < GIVEN_UP, "{label} does not start");
                std::thread::sleep(Duration::from_millis(20));
            }
            self.process = Some(Process::Rust(node));
            return;
        }
        let words = world.lan.enter(self.number);
        let name = self.name();
        let tick_time = TICK_TIME.to_string();
        let mut options = match self.kind {
            Kind::Elixir => BeamOptions::iex(&name).path(ebin("RENDEZ_TEST_ELIXIR_EBIN")),
            Kind::Sidecar => BeamOptions::erl(&name),
            Kind::Renamed => BeamOptions::erl(&name)
                .unnamed()
                .path(ebin("RENDEZ_TEST_ERLANG_EBIN")),
            _ => BeamOptions::erl(&name).path(ebin("RENDEZ_TEST_ERLANG_EBIN")),
        };
        options = options
            .cookie(COOKIE)
            .path(world.file("ebin"))
            .flags(["+S", "1:1", "+SDcpu", "1:1", "+SDio", "1", "+sbwt", "none"])
            .flags(["-kernel", "net_ticktime", &tick_time])
            .within(&words);
        let mut beam = Beam::start(world.epmd(self.number), &options);
        if self.kind == Kind::Renamed {
            beam.eval(&take_name(&name));
        }
        let started = beam.eval(&format!("soak_observer:start(\"{}\")", events.display()));
        assert_eq!(started, "ok", "the observer of {label}");
        if self.has_package() {
            let started = beam.eval(&format!(
                "[application:set_env(rendez, K, V) || {{K, V}} <- [{{via, {}}}, {{backoff_max, 4}}, \
                 {{on_removed, {{disconnect, 1000}}}}]], element(1, application:ensure_all_started(rendez))",
                world.sources.environment(self.dns)
            ));
            assert_eq!(started, "ok", "the package on {label}");
        }
        self.process = Some(Process::Beam(beam));
        self.start_sidecar(world);
    }

    fn toml(&self, world: &World) -> String {
        format!("backoff_max = 4\n{}", world.sources.toml(self.dns))
    }

    fn log(&self, world: &World) -> File {
        let path = world.file(&format!("logs/n{:02}", self.number));
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.expect("a file for the log")
    }

    /// Starts the sidecar, if it has one.
    pub fn start_sidecar(&mut self, world: &World) {
        if self.kind != Kind::Sidecar {
            return;
        }
        let options = world.file(&format!("n{:02}.toml", self.number));
        std::fs::write(&options, self.toml(world)).expect("a file for the sidecar's options");
        let log = self.log(world);
        let child = world
            .within(self.number, env!("CARGO_BIN_EXE_rendez"))
            .args(["attach", &self.name(), "--name", &self.sidecar_name()])
            .arg("--config")
            .arg(&options)
            .env("RENDEZ_COOKIE", COOKIE)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of a file"))
            .stderr(log)
            .spawn();
        self.sidecar = Some(SidecarProcess(child.expect("the sidecar starts")));
    }

    /// Kills the sidecar.
    pub fn kill_sidecar(&mut self) {
        self.sidecar = None;
    }

    /// Kills the node, and with it what runs beside it.
    pub fn kill(&mut self, world: &World) {
        self.save_log(world);
        self.process = None;
        self.sidecar = None;
    }

    /// Ends the node as a deployment does, and what runs beside it.
    pub fn terminate(&mut self, world: &World) {
        let sidecar = self.sidecar.as_ref().map(|sidecar| sidecar.0.id());
        for pid in sidecar.into_iter().chain(self.pid()) {
            send(pid, "TERM");
        }
        match &mut self.process {
            Some(Process::Beam(beam)) => beam.wait_for_end(),
            Some(Process::Rust(node)) => {
                let start = Instant::now();
                while !node.ended() {
                    assert!(start.elapsed() < GIVEN_UP, "{} does not end", self.number);
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            None => {}
        }
        if let Some(sidecar) = &mut self.sidecar {
            let start = Instant::now();
            while sidecar.0.try_wait().expect("its status").is_none() {
                assert!(
                    start.elapsed() < GIVEN_UP,
                    "the sidecar of n{:02} does not end",
                    self.number
                );
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.kill(world);
    }

    /// Takes the next name: that of the next start, or of the running node.
    pub fn take_next_name(&mut self) {
        self.generation += 1;
        let name = self.name();
        if let Some(Process::Beam(beam)) = &mut self.process {
            beam.eval(&format!("ok = net_kernel:stop(), {}", take_name(&name)));
        }
    }

    /// Ends its connection to the node with `erlang:disconnect_node/1`, as nothing of Rendez does.
    pub fn disconnect(&mut self, node: &str) {
        if let Some(Process::Beam(beam)) = &mut self.process {
            beam.eval(&format!("erlang:disconnect_node('{node}')"));
        }
    }

    /// Sends the node a signal of the operating system.
    pub fn signal(&self, signal: &str) {
        send(self.pid().expect("it runs"), signal);
    }

    fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| match process {
            Process::Beam(beam) => beam.pid(),
            Process::Rust(node) => node.pid(),
        })
    }

    /// Its processes by what they are, with what a BEAM says of itself.
    pub fn processes(&mut self) -> Vec<(&'static str, u32, String)> {
        let mut processes = Vec::new();
        let pid = self.pid();
        match (&mut self.process, pid) {
            (Some(Process::Beam(beam)), Some(pid)) => {
                let own = beam.eval(
                    "{erlang:memory(total), erlang:system_info(process_count), erlang:system_info(port_count), \
                      erlang:system_info(atom_count)}",
                );
                processes.push(("beam", pid, own));
            }
            (Some(Process::Rust(_)), Some(pid)) => processes.push(("rust", pid, String::new())),
            _ => {}
        }
        if let Some(sidecar) = &self.sidecar {
            processes.push(("sidecar", sidecar.0.id(), String::new()));
        }
        processes
    }

    /// Whom it is connected to: visible and hidden nodes. Those of a Rust node are all of one kind here.
    pub fn connected(&mut self) -> BTreeSet<String> {
        match &mut self.process {
            Some(Process::Beam(beam)) => {
                let shown = beam.eval("[atom_to_list(N) || N <- nodes([visible, hidden])]");
                let names = shown.trim_matches(['[', ']']).split(',');
                let names = names.map(|name| name.trim_matches('"').to_owned());
                names.filter(|name| !name.is_empty()).collect()
            }
            Some(Process::Rust(_)) => {
                let trail = self.trails.last_mut().expect("one for each life");
                trail.read();
                trail.connected.clone()
            }
            None => BTreeSet::new(),
        }
    }

    /// The names that it has to be connected to besides those of other members.
    pub fn own_peers(&self) -> Option<String> {
        (self.kind == Kind::Sidecar).then(|| self.sidecar_name())
    }

    /// Whether its processes are there, as far as they should be.
    pub fn broken(&mut self) -> Option<String> {
        if let Some(sidecar) = &mut self.sidecar
            && let Some(status) = sidecar.0.try_wait().expect("its status")
        {
            return Some(format!(
                "the sidecar of n{:02} ended by itself: {status}",
                self.number
            ));
        }
        if let Some(Process::Rust(node)) = &mut self.process
            && node.ended()
        {
            return Some(format!("n{:02} ended by itself", self.number));
        }
        None
    }

    /// Writes what the BEAM printed to its log.
    pub fn save_log(&mut self, world: &World) {
        let mut file = self.log(world);
        if let Some(Process::Beam(beam)) = &mut self.process {
            for line in beam.take_log() {
                writeln!(file, "{line}").expect("the log can be written");
            }
        }
    }
}

fn take_name(name: &str) -> String {
    format!("{{ok, _}} = net_kernel:start('{name}', #{{name_domain => longnames}}), node()")
}

fn ebin(variable: &str) -> String {
    let ebin =
        std::env::var(variable).unwrap_or_else(|_| panic!("{variable}: run scripts/test soak"));
    ebin.trim_end_matches('/').to_owned()
}

fn send(pid: u32, signal: &str) {
    let sent = Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .status();
    assert!(
        sent.is_ok_and(|sent| sent.success()),
        "kill -s {signal} {pid}"
    );
}
