//! Names from files, programs and scans: the providers as a driver runs them, and as the command does.
#![cfg(feature = "cli")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rendez::cluster::driver::{Driver, Handle, Setup, sources};
use rendez::cluster::{Action, Event};
use rendez::config::{ClusterConfig, Value};
use rendez::discovery::Context;
use rendez::discovery::hosts_file::syntax;
use rendez::epmd::codec::{Name, NodeType, Registration};
use rendez::epmd::{Client, Registered, Server, ServerConfig};
use support::cli::{Done, Running, rendez, run};
use support::dns_server::{DnsServer, Reply};
use support::{Lan, beam_command, beam_is_installed};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(300);

/// A driver that watches one provider, and what it said so far.
struct Watch {
    actions: mpsc::UnboundedReceiver<Action>,
    nodes: BTreeSet<String>,
    handle: Handle,
    running: JoinHandle<()>,
}

impl Watch {
    /// Starts the provider with options as a user writes them, for the node `me@127.0.0.1`.
    fn start(via: &str, options: &[(&str, Value)]) -> Self {
        let mut table = vec![("via".to_owned(), Value::from(via))];
        table.extend(
            options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        let config = ClusterConfig::from_value(&Value::Table(table)).unwrap();
        let context = Context {
            own: Some("me@127.0.0.1".parse().unwrap()),
            cookie: None,
        };
        let (sender, actions) = mpsc::unbounded_channel();
        let outlet = move |action| {
            let _ = sender.send(action);
        };
        let sources = sources(&config, &context).unwrap();
        let (driver, handle) = Driver::new(Setup::watch(), sources, outlet).unwrap();
        Self {
            actions,
            nodes: BTreeSet::new(),
            handle,
            running: tokio::spawn(driver.run()),
        }
    }

    async fn event(&mut self) -> Event {
        loop {
            let action = timeout(PATIENCE, self.actions.recv()).await;
            let Some(Action::Event(event)) = action.expect("an event in time") else {
                continue;
            };
            match &event {
                Event::Discovered { node, .. } => drop(self.nodes.insert(node.to_string())),
                Event::Withdrawn { node, .. } => drop(self.nodes.remove(node.as_str())),
                _ => {}
            }
            return event;
        }
    }

    async fn until(&mut self, nodes: &[&str]) {
        while !self
            .nodes
            .iter()
            .map(String::as_str)
            .eq(nodes.iter().copied())
        {
            self.event().await;
        }
    }

    async fn failure(&mut self) -> String {
        loop {
            if let Event::ProviderFailed { error, .. } = self.event().await {
                return error;
            }
        }
    }

    async fn recovery(&mut self) {
        while !matches!(self.event().await, Event::ProviderRecovered { .. }) {}
    }

    async fn stop(self) {
        self.handle.stop();
        timeout(PATIENCE, self.running)
            .await
            .expect("it ends")
            .unwrap();
    }
}

fn text(path: &Path) -> Value {
    path.display().to_string().into()
}

/// An EPMD of ours on some addresses, all with the same nodes, for as long as the registrations live.
async fn epmd(addresses: &[&str], nodes: &[(&str, NodeType)]) -> (u16, Vec<Registered>) {
    let server = Server::bind(ServerConfig {
        port: 0,
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        ..ServerConfig::default()
    });
    let server = server.unwrap();
    let port = server.port();
    tokio::spawn(server.run(std::future::pending()));
    let client = Client::new(addresses[0], port);
    let mut registered = Vec::new();
    for (name, node_type) in nodes {
        let node = Registration {
            node_type: *node_type,
            ..Registration::hidden(Name::new(name).unwrap(), 7)
        };
        registered.push(client.register(node).await.unwrap());
    }
    (port, registered)
}

async fn command(configure: impl FnOnce(&mut Command) + Send + 'static) -> Done {
    let running = tokio::task::spawn_blocking(|| {
        let mut command = rendez();
        configure(&mut command);
        run(&mut command)
    });
    running.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_again_and_a_mistake_keeps_the_last_list() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("peers");
    let mut watch = Watch::start(
        "file",
        &[("path", text(&path)), ("interval", "250ms".into())],
    );
    assert!(watch.failure().await.contains("there is no file"));
    fs::write(&path, "a@x\n").unwrap();
    watch.until(&["a@x"]).await;
    fs::write(&path, "[\"a@x\", \"b@x\"]").unwrap();
    watch.until(&["a@x", "b@x"]).await;
    fs::write(&path, "c@x\nb x\n").unwrap();
    let error = watch.failure().await;
    assert!(error.contains("line 2"), "{error}");
    let nodes = &watch.handle.status().await.unwrap().nodes;
    assert_eq!(nodes.len(), 2, "not knowing is not emptiness");
    fs::write(&path, "a@x\nb@x\n").unwrap();
    watch.recovery().await;
    assert_eq!(watch.nodes.len(), 2, "nobody went in between");
    fs::write(&path, "").unwrap();
    watch.until(&[]).await;
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_of_a_file_come_and_go() {
    let (port, _nodes) = epmd(
        &["127.0.90.1", "127.0.90.2"],
        &[("a", NodeType::Normal), ("shell", NodeType::Hidden)],
    )
    .await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hosts");
    fs::write(&path, "'127.0.90.1'.\n'z@far'.\n").unwrap();
    let options = [
        ("hosts_file", text(&path)),
        ("port", i64::from(port).into()),
        ("interval", "250ms".into()),
        ("keep_for", Value::Int(0)),
    ];
    let mut watch = Watch::start("hosts_file", &options);
    watch.until(&["a@127.0.90.1", "z@far"]).await;
    fs::write(&path, "'127.0.90.1'.\n'127.0.90.2'.\n").unwrap();
    watch.until(&["a@127.0.90.1", "a@127.0.90.2"]).await;
    fs::write(&path, "'127.0.90.1'.\n'127.0.90.2'\n").unwrap();
    let error = watch.failure().await;
    assert!(error.contains("hosts: line 2"), "{error}");
    assert_eq!(watch.nodes.len(), 2);
    fs::write(&path, "'127.0.90.2'.\n").unwrap();
    watch.until(&["a@127.0.90.2"]).await;
    watch.stop().await;
}

#[test]
fn our_reader_and_otp_s_agree_on_a_hosts_file() {
    if !beam_is_installed("our reader of .hosts.erlang against net_adm:host_file/0") {
        return;
    }
    if std::env::var_os("RENDEZ_TEST_BEAM").is_some() {
        // The chroot has other directories.
        support::skip("net_adm:host_file/0", "RENDEZ_TEST_BEAM is set");
        return;
    }
    for (content, is_good) in [
        ("'super.eua.ericsson.se'.\n'renat.eua.ericsson.se'.\n", true),
        ("%% none\n", true),
        (
            "renat. 'a\\'b\\x{e4}\\101\\^a\\s'. % x\n  shop@box.\n'10.0.0.7' .\n'last'.",
            true,
        ),
        ("'a'.'b'.\n", false),
        ("'a'.\n'b'\n", false),
        ("host.domain.\n", false),
        ("'a.\n", false),
        ("10.0.0.7.\n", false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(".hosts.erlang"), content).unwrap();
        let expression = "case net_adm:host_file() of {error, _} -> io:put_chars(\"error\"); \
             Hosts -> io:format(\"~w\", [[atom_to_list(Host) || Host <- Hosts]]) end, halt().";
        let output = beam_command("erl")
            .args(["-noinput", "-noshell", "-eval", expression])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let theirs = String::from_utf8(output.stdout).unwrap();
        // As lists of character codes, which no encoding of standard output changes.
        let codes = |text: &str| text.chars().map(u32::from).collect::<Vec<_>>();
        let ours = match syntax::parse(content.as_bytes()) {
            Ok(entries) => {
                let all: Vec<_> = entries.iter().map(|entry| codes(&entry.text)).collect();
                format!("{all:?}").replace(' ', "")
            }
            Err(_) => "error".to_owned(),
        };
        assert_eq!(ours, theirs, "{content:?}");
        assert_eq!(ours != "error", is_good, "{content:?}");
    }
}

#[test]
fn the_hosts_file_is_looked_for_where_otp_looks() {
    let [here, home, root] = [(), (), ()].map(|()| tempfile::tempdir().unwrap());
    let discover = || {
        let mut command = rendez();
        command
            .args(["discover", "--via", "hosts_file"])
            .current_dir(here.path())
            .env("HOME", home.path())
            .env("ROOTDIR", root.path());
        run(&mut command)
    };
    let nowhere = discover();
    assert_eq!(nowhere.code, Some(1));
    for place in [&home, &root] {
        let path = place.path().join(".hosts.erlang").display().to_string();
        assert!(nowhere.err.contains(&path), "{}", nowhere.err);
    }
    // The later a place comes, the sooner it is filled, so each one hides the ones before.
    for (place, node) in [(&root, "root@x"), (&home, "home@x"), (&here, "here@x")] {
        fs::write(place.path().join(".hosts.erlang"), format!("'{node}'.\n")).unwrap();
        let found = discover();
        assert_eq!((found.code, found.out), (Some(0), format!("{node}\n")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_run_again_and_its_failures_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let (list, broken) = (
        directory.path().join("list"),
        directory.path().join("broken"),
    );
    fs::write(&list, "a@x\n").unwrap();
    let script = format!(
        "test ! -e {} || {{ echo the registry is away >&2; exit 7; }}; cat {}",
        broken.display(),
        list.display()
    );
    let options = [
        (
            "command",
            Value::List(vec!["sh".into(), "-c".into(), script.into()]),
        ),
        ("interval", "250ms".into()),
        ("keep_for", Value::Int(0)),
    ];
    let mut watch = Watch::start("command", &options);
    watch.until(&["a@x"]).await;
    fs::write(&broken, "").unwrap();
    fs::write(&list, "").unwrap();
    let error = watch.failure().await;
    assert!(
        error.contains("exit status 7") && error.contains("the registry is away"),
        "{error}"
    );
    assert_eq!(watch.nodes.len(), 1);
    fs::write(&list, "a@x\nb@x\n").unwrap();
    fs::remove_file(&broken).unwrap();
    watch.until(&["a@x", "b@x"]).await;
    watch.stop().await;
}

#[test]
fn a_program_given_as_text_on_the_command_line() {
    let done = run(rendez()
        .args(["discover", "--via", "command", "--command"])
        .arg("/bin/sh -c 'echo a@x; echo \"b@$0\"' y"));
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), "a@x\nb@y\n"),
        "{}",
        done.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_16_is_scanned_and_written_as_a_hosts_file() {
    let addresses = ["127.1.0.9", "127.1.200.7"];
    let (port, _nodes) = epmd(&addresses, &[("a", NodeType::Normal)]).await;
    // A host with something else on EPMD's port.
    let other = tokio::net::TcpListener::bind(("127.1.3.3", port))
        .await
        .unwrap();
    tokio::spawn(async move { while other.accept().await.is_ok() {} });

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("found");
    let output = file.clone();
    let start = Instant::now();
    let done = command(move |command| {
        // Refusals come at once here; the default rate would only make the test longer.
        command
            .args([
                "hosts",
                "--subnet",
                "127.1.0.0/16",
                "--rate",
                "20000",
                "--port",
            ])
            .arg(port.to_string())
            .arg("--output")
            .arg(output);
    })
    .await;
    println!("hosts: a /16 in {:?}", start.elapsed());
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    // One line about the stranger, and no bar where nobody looks.
    assert!(done.err.contains("127.1.3.3 is left out"), "{done:?}");
    assert_eq!(done.err.lines().count(), 1, "{done:?}");
    let entries = syntax::parse(&fs::read(&file).unwrap()).unwrap();
    let hosts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(hosts, addresses);
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing stays beside it: {left:?}");

    // The file does what it is for.
    let done = command(move |command| {
        command
            .args(["discover", "--via", "hosts_file", "--port"])
            .arg(port.to_string())
            .arg("--hosts-file")
            .arg(file);
    })
    .await;
    assert_eq!(done.out, "a@127.1.0.9\na@127.1.200.7\n", "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_is_looked_through_once_by_the_command() {
    let (port, _nodes) = epmd(
        &["127.0.91.7", "127.0.91.8"],
        &[("a", NodeType::Normal), ("shell", NodeType::Hidden)],
    )
    .await;
    let done = command(move |command| {
        command
            .args([
                "discover",
                "--via",
                "subnet",
                "--cidr",
                "127.0.91.0/24",
                "--port",
            ])
            .arg(port.to_string());
    })
    .await;
    assert_eq!(done.out, "a@127.0.91.7\na@127.0.91.8\n", "{done:?}");
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    let done = command(move |command| {
        command
            .args([
                "hosts",
                "--json",
                "--subnet",
                "127.0.91.0/29,127.0.91.8",
                "--port",
            ])
            .arg(port.to_string());
    })
    .await;
    let json = done.json();
    assert_eq!(json["hosts"], serde_json::json!(["127.0.91.8"]));
    assert_eq!(
        (json["epmd_port"].as_u64(), json["untried"].as_u64()),
        (Some(port.into()), Some(0))
    );
}

#[test]
fn a_terminal_shows_how_far_a_scan_is() {
    // `script` gives the command a terminal.
    let command = format!(
        "{} hosts --subnet 127.0.92.0/24 --rate 300 --port {}",
        env!("CARGO_BIN_EXE_rendez"),
        support::free_tcp_port()
    );
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(std::process::Stdio::null())
        .output();
    let Ok(output) = output else {
        support::skip("the progress bar", "`script` is not installed");
        return;
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains(" of 254 addresses, 0 listen"), "{shown}");
    assert!(shown.contains("no EPMD answers on port"), "{shown}");
}

#[test]
fn addresses_that_are_silent_and_too_few_file_descriptors() {
    let Some(lan) = Lan::new(2, "a scan of a network with silent addresses") else {
        return;
    };
    let port = support::free_tcp_port().to_string();
    let mut epmd = Command::new("ip");
    epmd.args(&lan.enter(2)[1..])
        .arg(env!("CARGO_BIN_EXE_rendez"))
        .args(["epmd", "--port", &port]);
    let _epmd = Running::start(&mut epmd);
    let scan = |files: &str| {
        // Who has an address that nobody has is asked for until the attempt is given up.
        let network = lan.address(0);
        let script = format!(
            "ulimit -n {files}; exec {} hosts --json --subnet {network}/24 --rate 100000 --port {port} --concurrency 250",
            env!("CARGO_BIN_EXE_rendez"),
        );
        let mut command = Command::new("ip");
        command.args(&lan.enter(1)[1..]).args(["sh", "-c", &script]);
        run(&mut command)
    };
    let start = Instant::now();
    while scan("1024").json()["hosts"] != serde_json::json!([lan.address(2)]) {
        assert!(start.elapsed() < PATIENCE, "EPMD does not come up");
    }
    let few = scan("40");
    assert_eq!(
        few.json()["hosts"],
        serde_json::json!([lan.address(2)]),
        "{few:?}"
    );
    assert_eq!(few.json()["untried"], 0, "{few:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_server_that_gives_three_of_six_addresses_makes_nobody_leave() {
    let addresses = [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.3",
        "127.0.0.4",
        "127.0.0.5",
        "127.0.0.6",
    ];
    let names = addresses.map(|address| format!("app@{address}"));
    let names = names.each_ref().map(String::as_str);
    let server = DnsServer::start();
    server.set("app.test", Reply::part_of(addresses, 3));
    let mut watch = Watch::start(
        "dns",
        &[
            ("dns_name", "app.test".into()),
            ("app_name", "app".into()),
            ("nameservers", server.address().to_string().into()),
            ("keep_for", "1s".into()),
        ],
    );
    watch.until(&names).await;
    let warning = loop {
        match watch.event().await {
            Event::Withdrawn { node, .. } => panic!("{node} left"),
            event => {
                if let Some((_, warning)) = event.provider_warning() {
                    break warning;
                }
            }
        }
    };
    assert!(warning.contains("3 of 6 names so far"), "{warning}");

    server.set(
        "app.test",
        Reply::part_of(addresses[..5].iter().copied(), 3),
    );
    watch.until(&names[..5]).await;
    watch.stop().await;
}
