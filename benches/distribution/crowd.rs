//! One node that many are connected to: 1,000 registered processes on 100 connections, 1,000 connections
//! at rest. A BEAM in its place does the same; what talks to them is the same for both.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rendez::Node;
use rendez::dist::channel::{Receiver, Sender};
use rendez::dist::control::Control;
use rendez::etf::{Atom, Pid, Term};
use rendez::node::Received;

use crate::support::wire::{self, WHOLE};
use crate::support::{Epmd, beam_command};
use crate::{COOKIE, Race, report, verdict};

const NAME: &str = "crowd@127.0.0.1";
const PROCESSES: usize = 1_000;
/// On how many connections.
const CONNECTIONS: usize = 100;
const ROUNDS: usize = 200;
/// How many connections are held at rest.
const RESTING: usize = 1_000;

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

/// A node with processes that answer pings, until standard input ends.
pub fn serve(epmd: &Epmd) {
    runtime().block_on(async {
        let builder = Node::builder(NAME).cookie(COOKIE).epmd_port(epmd.port);
        let node = builder.start().await.expect("the node starts");
        for number in 0..PROCESSES {
            node.spawn(move |mut process| async move {
                process.register(name(number)).expect("a free name");
                while let Received::Message(message) = process.receive().await {
                    let Some([_, Term::Pid(from), number]) = message.as_tuple() else {
                        continue;
                    };
                    let pong = Term::Tuple(vec![Term::atom("pong"), number.clone()]);
                    // Who has gone needs no answer.
                    let _ = process.send(&**from, pong).await;
                }
            });
        }
        println!("ready");
        wait_for_the_end();
    });
}

fn wait_for_the_end() {
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn name(number: usize) -> Atom {
    Atom::try_from(&format!("echo_{number}")[..]).expect("an atom")
}

struct Peer {
    sender: Sender,
    receiver: Receiver,
    own: Pid,
}

impl Peer {
    async fn connect(epmd: &Epmd, number: usize) -> Self {
        let own = format!("guest{number}_{}@127.0.0.1", std::process::id());
        let (sender, receiver) = wire::connect(epmd, &own, NAME, WHOLE).await;
        let own = wire::pid(&own, 1);
        Self {
            sender,
            receiver,
            own,
        }
    }

    async fn ping(&mut self, process: usize) {
        let control = Control::RegSend {
            from: self.own.clone(),
            to: name(process),
        };
        let own = Term::from(self.own.clone());
        let ping = Term::Tuple(vec![Term::atom("ping"), own, Term::Int(1)]);
        let sent = self.sender.send(&control, Some(&ping)).await;
        sent.expect("the connection stands");
    }

    async fn pong(&mut self) {
        loop {
            let incoming = self.receiver.next().await.expect("the connection stands");
            if matches!(
                incoming.control,
                Control::Send { .. } | Control::SendSender { .. }
            ) {
                return;
            }
        }
    }
}

async fn connect_all(epmd: &Epmd, count: usize) -> Vec<Peer> {
    let mut peers = Vec::with_capacity(count);
    for number in 0..count {
        let mut peer = Peer::connect(epmd, number).await;
        peer.ping(number % PROCESSES).await;
        peer.pong().await;
        peers.push(peer);
    }
    peers
}

/// Each connection asks its share of the processes, all at once, and again when all have answered.
pub fn talk(epmd: &Epmd) {
    runtime().block_on(async {
        let peers = connect_all(epmd, CONNECTIONS).await;
        let start = (Instant::now(), crate::cpu());
        let talks = peers.into_iter().enumerate().map(|(number, mut peer)| {
            tokio::spawn(async move {
                const SHARE: usize = PROCESSES / CONNECTIONS;
                for _ in 0..ROUNDS {
                    for process in 0..SHARE {
                        peer.ping(number * SHARE + process).await;
                    }
                    for _ in 0..SHARE {
                        peer.pong().await;
                    }
                }
            })
        });
        for talk in talks.collect::<Vec<_>>() {
            talk.await.expect("it talks");
        }
        report(start);
    });
}

/// Holds connections until standard input ends, and then shows that all of them still work.
pub fn rest(epmd: &Epmd) {
    runtime().block_on(async {
        let mut peers = connect_all(epmd, RESTING).await;
        println!("ready");
        wait_for_the_end();
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.ping(number % PROCESSES).await;
            peer.pong().await;
        }
        println!("{}", peers.len());
    });
}

/// A process that says `ready` and goes on until its standard input ends.
struct Running(Child, BufReader<std::process::ChildStdout>);

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let mut running = Self(child, out);
        assert_eq!(running.line(), "ready");
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("it speaks");
        line.trim().to_owned()
    }

    fn resident_kib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        kib.unwrap_or(f64::NAN)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Race {
    /// A command that may have more files open than most shells allow.
    fn wide(&self, command: &Command) -> Command {
        let mut wide = Command::new("sh");
        wide.args(["-c", "ulimit -n 8192; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .env("ERL_EPMD_PORT", self.epmd.port.to_string());
        wide
    }

    fn role(&self, role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([role, &self.epmd.port.to_string()]);
        self.wide(&command)
    }

    fn server(&self, kind: &str) -> Running {
        if kind == "ours" {
            return Running::start(self.role("serve"));
        }
        let mut command = beam_command("erl");
        command
            .args(["-noinput", "-hidden", "-name", NAME, "-setcookie", COOKIE])
            .arg("-pa")
            .arg(&self.ebin)
            .args(["-eval", "rendez_bench:crowd(), io:put_chars(\"ready\\n\")."]);
        Running::start(self.wide(&command))
    }

    /// Runs both measurements against a node of ours and a BEAM.
    pub fn crowd(&self) -> bool {
        let mut talks = [f64::INFINITY; 2];
        let mut each = [f64::NAN; 2];
        for turn in 0..3 {
            for (kind, (talk, each)) in ["ours", "BEAM"]
                .into_iter()
                .zip(talks.iter_mut().zip(&mut each))
            {
                let server = self.server(kind);
                let output = self.role("talk").stderr(Stdio::inherit()).output();
                let output = output.expect("it runs");
                let text = String::from_utf8_lossy(&output.stdout);
                let took = text.split_whitespace().next().and_then(|t| t.parse().ok());
                *talk = talk.min(took.expect("seconds"));
                drop(server);
                if turn == 0 {
                    *each = self.memory(kind);
                }
            }
        }
        let pings = (PROCESSES * ROUNDS) as f64;
        println!(
            "{:<32}  ours {:.0} k/s  BEAM {:.0} k/s  ours/BEAM {:.2}",
            "1,000 processes, 100 connections",
            pings / talks[0] / 1e3,
            pings / talks[1] / 1e3,
            talks[1] / talks[0]
        );
        let met = each[0] < 64.0;
        println!(
            "{:<32}  ours {:.0} KiB  BEAM {:.0} KiB  ours/BEAM {:.2}  goal 64 KiB: {}",
            "one of 1,000 connections at rest",
            each[0],
            each[1],
            each[0] / each[1],
            verdict(met)
        );
        met
    }

    /// The resident memory that a connection at rest costs, in KiB.
    fn memory(&self, kind: &str) -> f64 {
        let server = self.server(kind);
        // What serving connections costs at all is there after the first.
        let before = server.resident_kib();
        let mut guests = Running::start(self.role("rest"));
        std::thread::sleep(Duration::from_secs(5));
        let after = server.resident_kib();
        let mut end = guests.0.stdin.take().expect("piped");
        end.write_all(b"\n").expect("it listens");
        assert_eq!(guests.line(), RESTING.to_string(), "all connections work");
        (after - before) / RESTING as f64
    }
}
