//! The `rendez` command as a test runs it: in an environment of its own, ended with the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a command may take that is to end by itself.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a command left behind.
#[derive(Debug)]
pub struct Done {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Done {
    /// Its standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The command in which SIGHUP does what it does by default, however the tests themselves were started: `nohup` and
/// some CI systems have it ignored, and what is ignored stays so in every process below.
pub fn with_hangup() -> Command {
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_rendez")]);
    command
}

/// The command with nothing in its environment, and a home where there is nothing.
pub fn rendez() -> Command {
    let mut command = with_hangup();
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Done {
    let running = Running::start(command);
    running.wait()
}

/// Runs it with these words.
pub fn run_with<const N: usize>(words: [&str; N]) -> Done {
    run(rendez().args(words))
}

/// A command that stays.
pub struct Running {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rendez starts");
        let out = lines(child.stdout.take().expect("its output"));
        let err = lines(child.stderr.take().expect("its errors"));
        Self { child, out, err }
    }

    /// Its next line.
    pub fn line(&self) -> String {
        self.out.recv_timeout(PATIENCE).expect("another line")
    }

    /// The next line of its standard error.
    pub fn err_line(&self) -> String {
        self.err
            .recv_timeout(PATIENCE)
            .expect("another line on standard error")
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end. What it leaves behind is what was not read before.
    pub fn wait(mut self) -> Done {
        let status = self.status();
        let rest = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
        Done {
            code: status.code(),
            out: rest(&self.out),
            err: rest(&self.err),
        }
    }

    fn status(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "rendez does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
