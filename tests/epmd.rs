//! Our EPMD client against OTP's `epmd`, OTP's nodes and tools against our EPMD server, and the `epmd`
//! provider against both.
#![cfg(all(feature = "epmd-server", feature = "discovery"))]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rendez::NodeName;
use rendez::cluster::driver::{Driver, Setup, Source, look};
use rendez::cluster::{Action, Event};
use rendez::discovery::epmd::{EpmdConfig, epmd};
use rendez::discovery::{Context, Provider};
use rendez::epmd::codec::{Name, NodeType, Registration};
use rendez::epmd::{Client, Ended, EpmdError, RegistrationState, Server, ServerConfig};
use support::{Beam, BeamOptions, Epmd, Lan, beam_command, beam_is_installed, free_tcp_port};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(300);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A node that starts no EPMD of its own when it finds none, and none after the test.
fn erl(name: &str) -> BeamOptions {
    BeamOptions::erl(name).flags(["-start_epmd", "false"])
}

async fn names(client: &Client) -> Vec<String> {
    let names = client.names().await.unwrap();
    let mut names: Vec<String> = names
        .nodes
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    names.sort();
    names
}

async fn until_names(client: &Client, expected: &[&str]) {
    let start = Instant::now();
    while names(client).await != expected {
        assert!(start.elapsed() < PATIENCE, "{:?}", names(client).await);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_and_the_epmd_of_otp() {
    if !beam_is_installed("the EPMD client against OTP's epmd") {
        return;
    }
    let mut otp = Epmd::start();
    let client = Client::new("127.0.0.1", otp.port);
    assert_eq!(names(&client).await, Vec::<String>::new());

    let mut beam = Beam::start(&otp, &erl("beam@127.0.0.1"));
    let found = client.port_please(&name("beam")).await.unwrap().unwrap();
    assert_eq!(found.node_type, NodeType::Normal);
    assert!(found.port > 0 && found.highest_version >= 6, "{found:?}");
    assert_eq!(client.port_please(&name("nobody")).await, Ok(None));

    let node = Registration::hidden(name("ours"), 4711);
    let mut registered = client.register(node.clone()).await.unwrap();
    let creation = registered.creation();
    assert!(creation.unwrap() > 3);
    assert_eq!(client.port_please(&node.name).await, Ok(Some(node.clone())));
    let seen =
        beam.eval("{ok, Names} = net_adm:names({127,0,0,1}), lists:keyfind(\"ours\", 1, Names)");
    assert_eq!(seen, "{\"ours\",4711}");
    let taken = client.register(node.clone()).await;
    assert!(
        matches!(taken, Err(EpmdError::NameTaken { .. })),
        "{taken:?}"
    );

    otp.kill();
    let lost = timeout(PATIENCE, registered.changed()).await.unwrap();
    assert!(matches!(lost, RegistrationState::Lost { .. }), "{lost:?}");
    let error = client.names().await.unwrap_err();
    assert!(matches!(error, EpmdError::NotListening { .. }), "{error:?}");
    otp.restart();
    timeout(PATIENCE, registered.registered()).await.unwrap();
    assert_eq!(registered.creation(), creation);
    assert_eq!(client.port_please(&node.name).await, Ok(Some(node)));

    drop(registered);
    let start = Instant::now();
    while names(&client).await.contains(&"ours".to_owned()) {
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(20)).await;
    }
}

/// Our server, in this process.
struct Ours {
    port: u16,
    task: tokio::task::JoinHandle<Ended>,
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server that ended a moment ago may still have the port.
fn serve(port: u16, address: IpAddr) -> Ours {
    let start = Instant::now();
    let server = loop {
        let bound = Server::bind(ServerConfig {
            port,
            addresses: vec![address],
            ..ServerConfig::default()
        });
        match bound {
            Ok(server) => break server,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Ours {
        port: server.port(),
        task: tokio::spawn(server.run(std::future::pending())),
    }
}

/// Runs OTP's `epmd` as a tool.
fn epmd_tool(port: u16, args: &[&str]) -> Output {
    beam_command("epmd")
        .args(["-port", &port.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("epmd runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_tools_of_otp_and_our_server() {
    if !beam_is_installed("OTP's nodes and tools against our EPMD server") {
        return;
    }
    let mut ours = serve(0, Ipv4Addr::LOCALHOST.into());
    let port = ours.port;
    let elsewhere = Epmd::elsewhere(port);
    let client = Client::new("127.0.0.1", port);
    let mut a = Beam::start(&elsewhere, &erl("a@127.0.0.1"));
    let mut b = Beam::start(&elsewhere, &erl("b@127.0.0.1"));
    until_names(&client, &["a", "b"]).await;
    assert_eq!(a.eval("net_kernel:connect_node('b@127.0.0.1')"), "true");
    b.wait_for_nodes(&["a@127.0.0.1"], PATIENCE);
    assert_eq!(
        a.eval("{ok, Names} = net_adm:names({127,0,0,1}), lists:sort([N || {N, _} <- Names])"),
        "[\"a\",\"b\"]"
    );
    // What the node goes by is what the server gave it.
    let creation: u32 = a.eval("erlang:system_info(creation)").parse().unwrap();
    assert!(creation > 3);

    let listing = String::from_utf8(epmd_tool(port, &["-names"]).stdout).unwrap();
    let head = format!("epmd: up and running on port {port} with data:");
    assert!(listing.contains(&head), "{listing}");
    assert!(
        listing.contains("name a at port") && listing.contains("name b at port"),
        "{listing}"
    );

    // A second node of the name is refused by OTP itself, on our word.
    let second = beam_command("erl")
        .args(["-name", "a@127.0.0.1", "-start_epmd", "false", "-noinput"])
        .args(["-eval", "halt(0)."])
        .env("ERL_EPMD_PORT", port.to_string())
        .env("ERL_CRASH_DUMP_BYTES", "0")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stdout) + String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("seems to be in use"), "{said}");

    let refused = String::from_utf8(epmd_tool(port, &["-kill"]).stdout).unwrap();
    assert!(refused.contains("not allowed"), "{refused}");
    epmd_tool(port, &["-stop", "b"]);
    assert_eq!(names(&client).await, ["a", "b"]);

    b.kill();
    until_names(&client, &["a"]).await;
    let mut b = Beam::start(&elsewhere, &erl("b@127.0.0.1"));
    until_names(&client, &["a", "b"]).await;

    // A node of OTP registers again with our server as it does with its own.
    ours.task.abort();
    let _ = (&mut ours.task).await;
    ours = serve(port, Ipv4Addr::LOCALHOST.into());
    until_names(&client, &["a", "b"]).await;

    a.kill();
    b.kill();
    until_names(&client, &[]).await;
    let killed = String::from_utf8(epmd_tool(port, &["-kill"]).stdout).unwrap();
    assert!(killed.contains("Killed"), "{killed}");
    assert_eq!((&mut ours.task).await.unwrap(), Ended::Killed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_registers_over_ipv6() {
    let what = "a node of OTP registering over IPv6";
    if !beam_is_installed(what) {
        return;
    }
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        support::skip(what, "this machine has no IPv6 loopback");
        return;
    }
    let ours = serve(free_tcp_port(), Ipv6Addr::LOCALHOST.into());
    let elsewhere = Epmd::elsewhere(ours.port);
    let options = erl("six@::1").flags(["-proto_dist", "inet6_tcp"]);
    let _six = Beam::start(&elsewhere, &options);
    let client = Client::new("::1", ours.port);
    until_names(&client, &["six"]).await;
    let found = client.port_please(&name("six")).await.unwrap().unwrap();
    assert_eq!(found.node_type, NodeType::Normal);
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `rendez epmd` on one host; this process, on another, may ask and not register.
#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_may_ask_our_server_and_nothing_else() {
    let what = "our EPMD server and another host";
    if !beam_is_installed(what) {
        return;
    }
    let Some(lan) = Lan::new(1, what) else {
        return;
    };
    let port = free_tcp_port();
    let [ip, rest @ ..] = lan.enter(1);
    let server = Command::new(ip)
        .args(rest)
        .args([env!("CARGO_BIN_EXE_rendez"), "epmd", "--port"])
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = Process(server.unwrap());
    let client = Client::new(lan.address(1), port);
    let start = Instant::now();
    while client.names().await.is_err() {
        assert!(start.elapsed() < PATIENCE, "{:?}", client.names().await);
        sleep(Duration::from_millis(20)).await;
    }
    let options = erl(&format!("there@{}", lan.address(1))).within(&lan.enter(1));
    let _there = Beam::start(&Epmd::elsewhere(port), &options);
    assert_eq!(names(&client).await, ["there"]);
    assert!(client.port_please(&name("there")).await.unwrap().is_some());

    let refused = client.register(Registration::hidden(name("here"), 1)).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, EpmdError::Closed { .. }), "{error:?}");
    assert!(error.to_string().contains("from its own host"), "{error}");
    assert_eq!(names(&client).await, ["there"]);
}

/// A host that opens far more connections than there are places, and says nothing, does not shut EPMD for another.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_does_not_shut_our_server_for_others() {
    let Some(lan) = Lan::new(2, "our EPMD server and two other hosts") else {
        return;
    };
    let server = Server::bind(ServerConfig {
        port: 0,
        // On this network nobody else listens, and the default bounds hold.
        addresses: vec![lan.machine().parse().unwrap()],
        ..ServerConfig::default()
    })
    .unwrap();
    let port = server.port();
    let _ours = Ours {
        port,
        task: tokio::spawn(server.run(std::future::pending())),
    };
    let on_host = |number, script: String| {
        let [program, words @ ..] = lan.enter(number);
        let mut command = Command::new(program);
        command.args(words).args(["bash", "-c", &script]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    };
    let to_server = format!("/dev/tcp/{}/{port}", lan.machine());
    let mut stranger = on_host(
        1,
        format!("for i in $(seq 300); do exec {{fd}}<>{to_server} || exit; done; echo open; exec sleep 600"),
    )
    .spawn()
    .unwrap();
    let mut said = String::new();
    let mut output = std::io::BufReader::new(stranger.stdout.take().unwrap());
    let _stranger = Process(stranger);
    tokio::task::block_in_place(|| std::io::BufRead::read_line(&mut output, &mut said)).unwrap();
    assert_eq!(said, "open\n");
    let asked = on_host(
        2,
        format!("exec 3<>{to_server}; printf '\\0\\1n' >&3; cat <&3 | wc -c"),
    )
    .output();
    let asked = tokio::task::block_in_place(|| asked).unwrap();
    // The port of EPMD, and no node.
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "4");
}

/// The command under the name `epmd`: what `erl` and operators call.
#[tokio::test(flavor = "multi_thread")]
async fn invoked_as_epmd_the_command_takes_the_flags_of_epmd() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("epmd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rendez"), &program).unwrap();
    let port = free_tcp_port();
    let epmd = |words: &[&str]| {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("ERL_EPMD_PORT", port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .args(words)
            .stdin(Stdio::null());
        tokio::task::block_in_place(|| command.output()).unwrap()
    };
    // Whatever becomes of the test, the daemon ends with it.
    struct Killed<F: Fn(&[&str]) -> Output>(F);
    impl<F: Fn(&[&str]) -> Output> Drop for Killed<F> {
        fn drop(&mut self) {
            let start = Instant::now();
            while (self.0)(&["-started"]).status.success() && start.elapsed() < PATIENCE {
                (self.0)(&["-kill"]);
            }
        }
    }
    let _killed = Killed(&epmd);

    let absent = epmd(&["-names"]);
    let said = String::from_utf8_lossy(&absent.stdout).into_owned();
    assert!(
        !absent.status.success() && said.contains("Cannot connect to local epmd"),
        "{said}"
    );
    assert!(!epmd(&["-started"]).status.success());

    // It is there as soon as the command returns; a second one finds it and is content.
    assert!(epmd(&["-daemon"]).status.success());
    let client = Client::new("127.0.0.1", port);
    let registered = client
        .register(Registration::hidden(name("a"), 1042))
        .await
        .unwrap();
    assert!(epmd(&["-daemon"]).status.success());
    assert!(epmd(&["-started"]).status.success());
    assert_eq!(
        String::from_utf8_lossy(&epmd(&["-names"]).stdout),
        format!("epmd: up and running on port {port} with data:\nname a at port 1042\n")
    );
    assert!(String::from_utf8_lossy(&epmd(&["-dump"]).stdout).contains("active name     <a>"));
    let refused = epmd(&["-kill"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        !refused.status.success() && said.contains("Killing not allowed"),
        "{said}"
    );
    // ERL_EPMD_ADDRESS keeps it off every other address of this host.
    let listening = Server::bind(ServerConfig {
        port,
        addresses: vec!["127.0.0.2".parse().unwrap()],
        ..ServerConfig::default()
    });
    assert!(
        matches!(&listening, Err(error) if error.to_string().contains("127.0.0.1")),
        "only loopback is taken: {listening:?}"
    );
    let invalid = epmd(&["-port", "x"]);
    assert!(!invalid.status.success() && !invalid.stderr.is_empty());

    drop(registered);
    until_names(&client, &[]).await;
    let killed = epmd(&["-kill"]);
    assert_eq!(String::from_utf8_lossy(&killed.stdout), "Killed\n");
}

fn source(port: u16) -> Source {
    let config = EpmdConfig {
        port: Some(port),
        interval: Duration::from_secs(1),
        ..EpmdConfig::default()
    };
    let context = Context {
        own: Some("me@127.0.0.1".parse().unwrap()),
        cookie: None,
    };
    Source::new("epmd", move || {
        epmd(&config, &context).map(|provider| Box::new(provider) as Box<dyn Provider>)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_finds_nodes_and_forgets_none_while_epmd_is_away() {
    if !beam_is_installed("the epmd provider") {
        return;
    }
    let mut otp = Epmd::start();
    let a: NodeName = "a@127.0.0.1".parse().unwrap();
    let mut beam = Beam::start(&otp, &erl("a@127.0.0.1"));
    let hidden = Registration::hidden(name("sidecar"), 1);
    let registered = Client::new("127.0.0.1", otp.port).register(hidden).await;

    let found = look(&[source(otp.port)], PATIENCE).await.unwrap();
    assert_eq!(found.nodes.iter().collect::<Vec<_>>(), [&a]);
    assert_eq!(found.failed, []);

    let (sender, mut actions) = mpsc::unbounded_channel();
    let setup = Setup::new(Some("me@127.0.0.1".parse().unwrap()));
    let outlet = move |action| {
        let _ = sender.send(action);
    };
    let (driver, handle) = Driver::new(setup, vec![source(otp.port)], outlet).unwrap();
    let running = tokio::spawn(driver.run());
    let mut event = async |pick: fn(&Event) -> bool| {
        timeout(PATIENCE, async {
            loop {
                match actions.recv().await.expect("the driver goes on") {
                    Action::Event(event) if pick(&event) => return event,
                    Action::Event(Event::Withdrawn { node, .. }) => panic!("{node} is withdrawn"),
                    _ => {}
                }
            }
        })
        .await
        .expect("the event comes")
    };
    event(|event| matches!(event, Event::Discovered { .. })).await;

    otp.kill();
    let failed = event(|event| matches!(event, Event::ProviderFailed { .. })).await;
    let Event::ProviderFailed { error, .. } = failed else {
        unreachable!()
    };
    assert!(error.contains("nothing listens at 127.0.0.1"), "{error}");
    let status = handle.status().await.unwrap();
    assert_eq!(status.providers[0].nodes, 1, "not knowing is not emptiness");

    // The EPMD that comes back knows the node again only when the node has registered again. Until then
    // its answer is an answer, so the node may be withdrawn for a moment: that is tested elsewhere.
    drop(registered);
    beam.kill();
    otp.restart();
    event(|event| {
        matches!(
            event,
            Event::ProviderRecovered { .. } | Event::Withdrawn { .. }
        )
    })
    .await;
    handle.stop();
    running.await.unwrap();
}
