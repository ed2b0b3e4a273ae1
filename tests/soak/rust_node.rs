//! A node of the crate that finds its peers: its own process, so that it can be stopped and killed like any other.
//!
//! The soak starts its own binary again with this one test, and what the node is told stands in the environment.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rendez::cluster::Action;
use rendez::cluster::driver::{Driver, Handle, Setup, sources};
use rendez::config::{ClusterConfig, from_toml};
use rendez::discovery::Context;
use rendez::epmd::port_from_env;
use rendez::node::NodeEvent;
use rendez::{Node, NodeName, Secret};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::settings::{COOKIE, TICK_TIME, now_ms};

/// The node's process, which ends with this value.
pub struct RustNode(Child);

impl RustNode {
    /// Starts it; it has started when `events` has its first line.
    pub fn start(
        mut command: Command,
        name: &str,
        visible: bool,
        options: &str,
        events: &Path,
        output: File,
    ) -> Self {
        let child = command
            .env("RENDEZ_SOAK_NODE", name)
            .env("RENDEZ_SOAK_OPTIONS", options)
            .env("RENDEZ_SOAK_EVENTS", events)
            .env("RENDEZ_SOAK_VISIBLE", if visible { "1" } else { "" })
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a second handle of a file"))
            .stderr(output)
            .spawn()
            .expect("the node starts");
        Self(child)
    }

    /// The words after this test's own binary that make it such a node.
    pub const WORDS: [&'static str; 4] = [
        "rust_node::it_is_one_node_of_the_soak",
        "--exact",
        "--ignored",
        "--nocapture",
    ];

    /// The operating system's id of its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it ended by itself.
    pub fn ended(&mut self) -> bool {
        self.0.try_wait().expect("its status").is_some()
    }
}

impl Drop for RustNode {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The file of what happens at this node, in the form of `soak_observer.erl`.
#[derive(Clone)]
struct Events(Arc<Mutex<File>>);

impl Events {
    fn write(&self, words: &str) {
        let line = format!("{} {}\n", now_ms(), words.trim_end().replace('\n', " "));
        let mut file = self.0.lock().expect("no panic while it is held");
        file.write_all(line.as_bytes()).expect("it can be written");
    }
}

impl Write for Events {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if text.contains("overlapping partitions") {
            Events::write(self, &format!("log {text}"));
        }
        std::io::stdout().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
#[ignore = "a node of the soak, which starts it by itself"]
fn it_is_one_node_of_the_soak() {
    let Ok(name) = std::env::var("RENDEZ_SOAK_NODE") else {
        return;
    };
    // It ends with the soak, however that ends.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .expect("a runtime")
        .block_on(run(name.parse().expect("a node name")));
}

async fn run(name: NodeName) {
    let given = |variable: &str| std::env::var(variable).expect("the soak sets it");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(given("RENDEZ_SOAK_EVENTS"));
    let events = Events(Arc::new(Mutex::new(file.expect("the file of events"))));
    let writer = events.clone();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let options = from_toml(&given("RENDEZ_SOAK_OPTIONS"), "the soak's options");
    let config = ClusterConfig::from_value(&options.expect("TOML")).expect("valid options");
    let context = Context {
        own: Some(name.clone()),
        cookie: Some(Secret::new(COOKIE)),
    };
    let sources = sources(&config, &context).expect("valid sources");
    let mut builder = Node::builder(name.as_str())
        .cookie(Secret::new(COOKIE))
        .epmd_port(port_from_env().expect("a port"))
        .tick_time(Duration::from_secs(TICK_TIME));
    if !given("RENDEZ_SOAK_VISIBLE").is_empty() {
        builder = builder.visible();
    }
    let node = builder.start().await.expect("the node starts");
    let mut changes = node.monitor_nodes();
    let (sender, mut actions) = mpsc::unbounded_channel();
    let setup = Setup {
        policy: config.policy,
        ..Setup::new(Some(name))
    };
    let outlet = move |action: Action| drop(sender.send(action));
    let (driver, handle) = Driver::new(setup, sources, outlet).expect("sources of one cluster");
    tokio::spawn(driver.run());
    let mut terminated = signal(SignalKind::terminate()).expect("signals can be waited for");
    events.write("start");
    loop {
        tokio::select! {
            Some(action) = actions.recv() => act(&node, &handle, action),
            Some(change) = changes.next() => tell(&events, &handle, change),
            _ = terminated.recv() => break,
        }
    }
    handle.stop();
    handle.stopped().await;
    node.stop().await;
}

fn act(node: &Node, handle: &Handle, action: Action) {
    match action {
        Action::Connect(peer) => {
            let (node, handle) = (node.clone(), handle.clone());
            tokio::spawn(async move {
                let result = node.connect(&peer).await;
                let result = result.map(drop).map_err(Into::into);
                let _ = handle.connect_result(peer, result);
            });
        }
        Action::Disconnect(peer) => node.disconnect(&peer),
        Action::Event(event) => tracing::info!("{event:?}"),
    }
}

fn tell(events: &Events, handle: &Handle, change: NodeEvent) {
    let told = match change {
        NodeEvent::Up(peer) => {
            events.write(&format!("up {}", peer.name));
            if peer.hidden {
                handle.up_hidden(peer.name)
            } else {
                handle.up(peer.name)
            }
        }
        NodeEvent::Down(peer, reason) => {
            events.write(&format!("down {} {reason}", peer.name));
            handle.down(peer.name, Some(reason.to_string()))
        }
    };
    if let Err(error) = told {
        tracing::error!("{error}");
    }
}
