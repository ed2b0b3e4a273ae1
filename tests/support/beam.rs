//! Real BEAM nodes, each a child process that ends with the test, however the test ends.
//!
//! A node gets Erlang expressions over its standard input and answers over its standard output, so
//! the test needs no distribution of its own to look inside. `RENDEZ_TEST_BEAM` holds words to put
//! before every command (`chroot DIR`), by which the same tests run against another OTP release.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::ports::free_tcp_port;

const LOOP: &str = include_str!("eval_loop.txt");

/// How long a node may take to start, or to answer: far more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a condition is waited for, at least.
const WAIT: Duration = Duration::from_secs(300);

/// Whether there is an `erl` to test against; if not, says on standard error that `what` is skipped.
pub fn beam_is_installed(what: &str) -> bool {
    let found = beam_command("erl")
        .args(["-noinput", "-eval", "halt(0)."])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        // CI must not pass by skipping what it is for.
        assert!(
            std::env::var_os("RENDEZ_TEST_REQUIRE_BEAM").is_none(),
            "no working `erl`, and RENDEZ_TEST_REQUIRE_BEAM is set"
        );
        super::skip(what, "`erl` is not installed (run scripts/setup)");
    }
    found
}

/// A command of the OTP release under test.
pub fn beam_command(program: &str) -> Command {
    match std::env::var("RENDEZ_TEST_BEAM") {
        Ok(prefix) if !prefix.trim().is_empty() => {
            let mut words = prefix.split_whitespace();
            let mut command = Command::new(words.next().expect("a word"));
            command.args(words).arg(program);
            command
        }
        _ => Command::new(program),
    }
}

/// An EPMD of the test's own, on a port of its own, which ends with it.
pub struct Epmd {
    child: Option<Child>,
    /// The port that it listens on.
    pub port: u16,
    prefix: Vec<String>,
    /// Where it listens besides loopback, if not everywhere.
    address: Option<String>,
}

impl Epmd {
    /// Starts EPMD on a free port, on loopback.
    pub fn start() -> Self {
        Self::start_on(free_tcp_port(), &[])
    }

    /// Stands for an EPMD that somebody else runs on this port.
    pub fn elsewhere(port: u16) -> Self {
        Self {
            child: None,
            port,
            prefix: Vec::new(),
            address: None,
        }
    }

    /// Starts EPMD on an address of this machine, and on loopback.
    pub fn start_at(port: u16, address: &str) -> Self {
        let mut epmd = Self::elsewhere(port);
        epmd.address = Some(address.to_owned());
        epmd.restart();
        epmd
    }

    /// Starts EPMD on a port, behind a prefix such as `ip netns exec NAME`. Without a prefix it
    /// listens on loopback only.
    pub fn start_on(port: u16, prefix: &[&str]) -> Self {
        let mut epmd = Self {
            child: None,
            port,
            prefix: prefix.iter().map(|word| (*word).to_owned()).collect(),
            address: None,
        };
        epmd.restart();
        epmd
    }

    /// Ends EPMD; the nodes that were registered stay up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        let address = self.address.as_deref().unwrap_or("127.0.0.1");
        let args: &[&str] = if self.prefix.is_empty() {
            &["-address", address]
        } else {
            &[]
        };
        let child = prefixed(&self.prefix, beam_command("epmd"))
            .args(["-port", &self.port.to_string()])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd starts");
        self.child = Some(child);
        let start = Instant::now();
        while !self.answers() {
            assert!(start.elapsed() < PATIENCE, "epmd does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answers(&self) -> bool {
        self.names().is_some()
    }

    /// Sends EPMD a signal of the operating system, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        send_signal(child.id(), signal);
    }

    /// What EPMD says to `epmd -names`; `None` if there is no EPMD.
    fn names(&self) -> Option<String> {
        if self.prefix.is_empty() {
            return self.ask_for_names().ok();
        }
        let output = prefixed(&self.prefix, beam_command("epmd"))
            .args(["-port", &self.port.to_string(), "-names"])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(said)
    }

    fn ask_for_names(&self) -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&[0, 1, b'n'])?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let text = answer.get(4..).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Waits until EPMD has no node of this name any more.
    ///
    /// A node that is killed and started again at once meets its own name otherwise: EPMD forgets it only when
    /// it reads the end of the first one's connection.
    ///
    /// # Panics
    /// When it has one for ten minutes.
    pub fn wait_until_forgotten(&self, node: &str) {
        let own = node.split('@').next().unwrap_or(node);
        let line = format!("name {own} at port ");
        let start = Instant::now();
        while self.names().is_some_and(|names| names.contains(&line)) {
            assert!(start.elapsed() < PATIENCE, "EPMD still has {own}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Epmd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send_signal(pid: u32, signal: &str) {
    let pid = pid.to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(
        sent.is_ok_and(|sent| sent.success()),
        "kill -s {signal} {pid}"
    );
}

fn prefixed(prefix: &[String], command: Command) -> Command {
    let Some((first, rest)) = prefix.split_first() else {
        return command;
    };
    let mut wrapped = Command::new(first);
    wrapped
        .args(rest)
        .arg(command.get_program())
        .args(command.get_args());
    wrapped
}

/// How a node is to be started.
pub struct BeamOptions {
    name: String,
    /// It gets its name when it runs.
    unnamed: bool,
    cookie: String,
    program: &'static str,
    paths: Vec<String>,
    flags: Vec<String>,
    env: Vec<(String, String)>,
    prefix: Vec<String>,
}

impl BeamOptions {
    /// A plain `erl -name NAME`, or `-sname` for a name without a dot in its host.
    pub fn erl(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            unnamed: false,
            cookie: "rendez-tests".to_owned(),
            program: "erl",
            paths: Vec::new(),
            flags: Vec::new(),
            env: Vec::new(),
            prefix: Vec::new(),
        }
    }

    /// An `iex --name NAME`.
    pub fn iex(name: &str) -> Self {
        Self {
            program: "iex",
            ..Self::erl(name)
        }
    }

    /// An `erl` that is not alive, to be given its name by `net_kernel:start/2`, so that `net_kernel:stop/0` takes it
    /// again.
    pub fn unnamed(mut self) -> Self {
        self.unnamed = true;
        self
    }

    /// The cookie, instead of `rendez-tests`.
    pub fn cookie(mut self, cookie: &str) -> Self {
        self.cookie = cookie.to_owned();
        self
    }

    /// A directory of compiled modules.
    pub fn path(mut self, ebin: impl AsRef<Path>) -> Self {
        self.paths.push(ebin.as_ref().display().to_string());
        self
    }

    /// Flags for the emulator, as after `erl`.
    pub fn flags<const N: usize>(mut self, flags: [&str; N]) -> Self {
        self.flags.extend(flags.map(str::to_owned));
        self
    }

    /// An environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Words before the command, such as `ip netns exec NAME`.
    pub fn within(mut self, prefix: &[&str]) -> Self {
        self.prefix = prefix.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    fn command(&self) -> Command {
        let long = self
            .name
            .split_once('@')
            .is_some_and(|(_, host)| host.contains(['.', ':']));
        let mut command = beam_command(self.program);
        if self.program == "iex" {
            command
                .args([if long { "--name" } else { "--sname" }, &self.name])
                .args(["--cookie", &self.cookie])
                .args(["--erl", "-start_epmd false"])
                .args(["--dot-iex", ""]);
            for path in &self.paths {
                command.args(["-pa", path]);
            }
            if !self.flags.is_empty() {
                command.args(["--erl", &self.flags.join(" ")]);
            }
            command.args(["-e", ELIXIR_LOOP]);
        } else {
            if !self.unnamed {
                command.args([if long { "-name" } else { "-sname" }, &self.name]);
            }
            command
                .args(["-setcookie", &self.cookie, "-noshell"])
                .args(["-start_epmd", "false"]);
            for path in &self.paths {
                command.args(["-pa", path]);
            }
            command.args(&self.flags).args(["-eval", LOOP]);
        }
        prefixed(&self.prefix, command)
    }
}

/// The same loop, started from Elixir: Erlang's own parser and evaluator read it from the environment.
const ELIXIR_LOOP: &str = r#"{:ok, tokens, _} = System.fetch_env!("RENDEZ_TEST_LOOP") |> String.to_charlist() |> :erl_scan.string(); {:ok, expressions} = :erl_parse.parse_exprs(tokens); :erl_eval.exprs(expressions, [])"#;

/// A running node.
pub struct Beam {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Its full name.
    pub name: String,
    /// What it printed besides answers, kept to be shown when a test fails.
    log: Vec<String>,
}

impl Beam {
    /// Starts a node that registers with `epmd`, and waits until it takes expressions.
    pub fn start(epmd: &Epmd, options: &BeamOptions) -> Self {
        epmd.wait_until_forgotten(&options.name);
        let mut child = options
            .command()
            .env("ERL_EPMD_PORT", epmd.port.to_string())
            .env("RENDEZ_TEST_LOOP", LOOP)
            .envs(options.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the node starts");
        let (sender, lines) = channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped")),
            Box::new(child.stderr.take().expect("piped")),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut output = BufReader::new(output);
                let mut bytes = Vec::new();
                while output
                    .read_until(b'\n', &mut bytes)
                    .is_ok_and(|read| read > 0)
                {
                    let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    if sender.send(line).is_err() {
                        break;
                    }
                    bytes.clear();
                }
            });
        }
        let stdin = child.stdin.take();
        let mut beam = Self {
            child,
            stdin,
            lines,
            name: options.name.clone(),
            log: Vec::new(),
        };
        beam.answer("READY").expect("the node comes up");
        beam
    }

    /// The operating system's id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Evaluates Erlang expressions (`"nodes()."`; the full stop may be left out) and gives the value as `~0tp` prints it.
    ///
    /// # Panics
    /// When the expression raises, or the node does not answer.
    pub fn eval(&mut self, expressions: &str) -> String {
        match self.try_eval(expressions) {
            Ok(value) => value,
            Err(why) => panic!("{}: {expressions}: {why}", self.name),
        }
    }

    /// As [`Self::eval`], with the exception, or the node's end, as an error.
    pub fn try_eval(&mut self, expressions: &str) -> Result<String, String> {
        let one_line = expressions.replace('\n', " ");
        let one_line = one_line.trim().trim_end_matches('.');
        let stdin = self.stdin.as_mut().ok_or("the node was stopped")?;
        writeln!(stdin, "{one_line}.").map_err(|error| error.to_string())?;
        stdin.flush().map_err(|error| error.to_string())?;
        self.answer("VALUE")
    }

    /// Evaluates Elixir, on a node that was started as `iex`, and gives the value as `inspect` shows it.
    ///
    /// # Panics
    /// As [`Self::eval`].
    pub fn elixir(&mut self, code: &str) -> String {
        let bytes: Vec<_> = code.bytes().map(|byte| byte.to_string()).collect();
        let shown = self.eval(&format!(
            "'Elixir.Base':encode16('Elixir.Kernel':inspect(element(1, 'Elixir.Code':eval_string(<<{}>>))))",
            bytes.join(",")
        ));
        let hex = shown.trim_matches(['<', '>', '"']);
        let pair = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let bytes = (0..hex.len()).step_by(2).map(pair).collect();
        String::from_utf8(Option::unwrap_or_default(bytes)).expect("`inspect` gives UTF-8")
    }

    /// Sends the node's process a signal of the operating system, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }

    /// Evaluates until the value satisfies `holds`, and gives it with the time that took.
    ///
    /// `within` bounds a run that fails, and only that: on a busy machine everything takes longer, so it is five
    /// minutes at least.
    ///
    /// # Panics
    /// When that does not come within `within`; the last value and the node's log are shown.
    pub fn wait_until(
        &mut self,
        expressions: &str,
        within: Duration,
        holds: impl Fn(&str) -> bool,
    ) -> (String, Duration) {
        let within = within.max(WAIT);
        let start = Instant::now();
        loop {
            let value = self.eval(expressions);
            if holds(&value) {
                return (value, start.elapsed());
            }
            if start.elapsed() >= within {
                let log = self.log();
                let name = &self.name;
                panic!("{name}: after {within:?} {expressions} is still {value}\nits log:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The nodes that it is connected to, hidden ones left out, sorted.
    pub fn nodes(&mut self) -> Vec<String> {
        let list = self.eval("[atom_to_list(N) || N <- lists:sort(nodes())]");
        list.trim_matches(['[', ']'])
            .split(',')
            .filter(|name| !name.is_empty())
            .map(|name| name.trim_matches('"').to_owned())
            .collect()
    }

    /// Waits until it is connected to exactly these nodes, hidden ones left out; five minutes at least.
    pub fn wait_for_nodes(&mut self, names: &[&str], within: Duration) -> Duration {
        let mut wanted: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        wanted.sort();
        let within = within.max(WAIT);
        let start = Instant::now();
        loop {
            let nodes = self.nodes();
            if nodes == wanted {
                return start.elapsed();
            }
            if start.elapsed() >= within {
                let log = self.log();
                let name = &self.name;
                panic!(
                    "{name}: after {within:?} it sees {nodes:?}, not {wanted:?}\nits log:\n{log}"
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it printed so far besides answers.
    pub fn log(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.log.push(line);
        }
        self.log.join("\n")
    }

    /// Forgets what it printed so far.
    pub fn forget_log(&mut self) {
        self.take_log();
    }

    /// What it printed besides answers since this was called last. [`Self::log`] no longer has it then.
    pub fn take_log(&mut self) -> Vec<String> {
        self.log();
        std::mem::take(&mut self.log)
    }

    /// Waits until the node has ended by itself.
    ///
    /// # Panics
    /// When it does not for ten minutes.
    pub fn wait_for_end(&mut self) {
        let start = Instant::now();
        while self.child.try_wait().expect("its status").is_none() {
            if start.elapsed() >= PATIENCE {
                let log = self.log();
                panic!("{} does not end\nits log:\n{log}", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the node at once, as a crash of its machine's process would.
    pub fn kill(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn answer(&mut self, kind: &str) -> Result<String, String> {
        let wanted = format!("\u{1b}[8m{kind}\u{1b}[0m");
        let error = "\u{1b}[8mERROR\u{1b}[0m";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some((_, value)) = line.split_once(&wanted) {
                        return Ok(value.to_owned());
                    }
                    if let Some((_, value)) = line.split_once(error) {
                        return Err(value.to_owned());
                    }
                    self.log.push(line);
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!(
                        "no answer in {PATIENCE:?}\nits log:\n{}",
                        self.log()
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("the node ended\nits log:\n{}", self.log.join("\n")));
                }
            }
        }
    }
}

impl Drop for Beam {
    fn drop(&mut self) {
        self.kill();
    }
}
