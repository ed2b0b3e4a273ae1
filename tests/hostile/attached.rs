//! A sidecar whose attached node means no good.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rendez::Secret;
use rendez::dist::Flags;
use rendez::dist::handshake::{Identity, Lengths, Verdict, accept};
use rendez::epmd::codec::{Name, Registration};
use rendez::epmd::{Client, Server, ServerConfig};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::PATIENCE;
use crate::attack_time;
use crate::grammar::Form;
use crate::peer::{COOKIE, Done, Target, answer};
use crate::support::cli::rendez;
use crate::support::{alone, seed};

const BEAM: &str = "beam@127.0.0.1";
/// How much processor time a stop may take. An unoptimised build takes longer.
const STOPPING: Duration = Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 1 });

/// A process of ours, killed with the test.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command, log: &std::path::Path) -> Self {
        let log = std::fs::File::create(log).expect("a file");
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Self(command.spawn().expect("rendez starts"))
    }

    pub fn of(&self, what: &str) -> Option<String> {
        std::fs::read_to_string(format!("/proc/{}/{what}", self.0.id())).ok()
    }

    /// How many file descriptors it has.
    pub fn descriptors(&self) -> usize {
        let all = std::fs::read_dir(format!("/proc/{}/fd", self.0.id()));
        all.map_or(0, Iterator::count)
    }

    /// The most memory that it ever had, in KiB.
    pub fn peak(&self) -> usize {
        let status = self.of("status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The processor time of its first thread.
    fn time(&self) -> Option<Duration> {
        let text = self.of("schedstat")?;
        let nanos = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanos))
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.0.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Ends it with SIGTERM: how much processor time that took, and its exit status.
    pub async fn terminate(&mut self) -> (Duration, Option<i32>) {
        let begun = self.time().unwrap_or_default();
        let mut now = begun;
        self.signal("-TERM");
        let waiting = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("its status") {
                println!("it ended {:?} after SIGTERM", waiting.elapsed());
                return (now - begun, status.code());
            }
            assert!(waiting.elapsed() < PATIENCE, "it does not end");
            now = self.time().unwrap_or(now).max(now);
            sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes connections of the sidecar, and answers with whatever there is.
async fn beam(listener: TcpListener, seed: u64, all: Arc<Mutex<Done>>) {
    let mut number = 0;
    while let Ok(Ok((stream, _))) = timeout(PATIENCE, listener.accept()).await {
        number += 1;
        let seed = seed ^ (number << 16);
        let own = Identity::new(BEAM.parse().expect("a name"), 5, Secret::new(COOKIE));
        let shaken = accept(stream, Lengths::Two, &own, |_| Verdict::Accept);
        let Ok(Ok((stream, peer))) = timeout(PATIENCE, shaken).await else {
            continue;
        };
        let form = if peer.flags.contains(Flags::DIST_HDR_ATOM_CACHE) {
            Form::Headers
        } else {
            Form::PassThrough
        };
        let target = Target {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            name: peer.name.to_string(),
            pids: Arc::default(),
        };
        let done = answer(&target, BEAM, stream, form, seed).await;
        let mut all = all.lock().expect("no panic under it");
        all.connections += 1;
        all.bytes += done.bytes;
        all.ended += done.ended;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_whose_node_is_hostile_stops_when_it_is_told_to() {
    if !alone("attached::a_sidecar_whose_node_is_hostile_stops_when_it_is_told_to") {
        return;
    }
    let time = attack_time(Duration::from_secs(6));
    let seed = seed::seed(47);
    let server = Server::bind(ServerConfig {
        port: 0,
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        ..ServerConfig::default()
    });
    let server = server.expect("a server");
    let port = server.port();
    tokio::spawn(server.run(std::future::pending()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a listener");
    let listens = listener.local_addr().expect("an address").port();
    let name = Name::new("beam").expect("a name");
    let client = Client::new("127.0.0.1", port);
    let registered = client.register(Registration::visible(name, listens)).await;
    let _registered = registered.expect("it is registered");

    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rendez.toml");
    std::fs::write(
        &config,
        "[via.list]\nnode_list = ['beam@127.0.0.1', 'other@127.0.0.1']\n",
    )
    .expect("written");
    let log = folder.path().join("log");
    let end = Instant::now() + time;
    let all = Arc::new(Mutex::new(Done::default()));
    let attacks = tokio::spawn(beam(listener, seed, Arc::clone(&all)));
    let mut command = rendez();
    command
        .args(["attach", BEAM, "--config"])
        .arg(&config)
        .env("ERL_EPMD_PORT", port.to_string())
        .env("RENDEZ_COOKIE", COOKIE);
    let mut sidecar = Process::start(&mut command, &log);
    // It may take its time to come back after each connection that was ended.
    while Instant::now() < end || all.lock().expect("no panic under it").connections < 2 {
        assert!(end.elapsed() < PATIENCE, "it does not attach");
        if let Some(status) = sidecar.0.try_wait().expect("its status") {
            panic!(
                "{status}: {}",
                std::fs::read_to_string(&log).expect("a log")
            );
        }
        sleep(Duration::from_millis(20)).await;
    }
    let peak = sidecar.peak();
    let (took, code) = sidecar.terminate().await;
    attacks.abort();
    let said = std::fs::read_to_string(&log).expect("a log");
    let all = *all.lock().expect("no panic under it");
    println!(
        "{all:?}; {peak} KiB of memory at most; {} lines of log; stopping took {took:?} of processor time",
        said.lines().count()
    );
    assert_eq!(code, Some(0), "{said}");
    assert!(took < STOPPING, "{took:?}");
    assert!(!said.contains("panicked"), "{said}");
    // A message, what is decoded of it, fragments, and what waits.
    assert!(peak < 1400 << 10, "{peak} KiB");
}
