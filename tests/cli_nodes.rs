//! The command against real nodes: names, ping, call, attach; and against our own EPMD.
#![cfg(feature = "cli")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

mod support;

use serde_json::json;
use support::authority::DistAuthority;
use support::cli::{Running, rendez, run};
use support::dns_server::{DnsServer, Reply};
use support::{Beam, BeamOptions, Epmd, Lan, beam_is_installed, free_tcp_port, free_udp_port};

const WITHIN: Duration = Duration::from_secs(300);

/// The command, with that EPMD and the cookie of the tests' nodes.
fn rendez_with(epmd: &Epmd) -> Command {
    let mut command = rendez();
    command
        .env("ERL_EPMD_PORT", epmd.port.to_string())
        .env("RENDEZ_COOKIE", "rendez-tests");
    command
}

#[test]
fn names_ping_and_call_a_real_node() {
    if !beam_is_installed("rendez names, ping and call") {
        return;
    }
    let epmd = Epmd::start();
    let _node = Beam::start(&epmd, &BeamOptions::erl("cli@127.0.0.1"));
    let with = |words: &[&str]| run(rendez_with(&epmd).args(words));

    let names = with(&["names", "127.0.0.1"]);
    assert_eq!(names.code, Some(0), "{names:?}");
    assert!(
        names.out.starts_with("cli ") && names.out.lines().count() == 1,
        "{names:?}"
    );
    let names = with(&["names", "127.0.0.1", "--json"]).json();
    assert_eq!(
        (&names["epmd_port"], &names["nodes"][0]["name"]),
        (&json!(epmd.port), &json!("cli"))
    );
    assert!(names["nodes"][0]["port"].as_u64().unwrap() > 0);

    let ping = with(&["ping", "cli@127.0.0.1"]);
    assert_eq!(ping.code, Some(0), "{ping:?}");
    assert!(
        ping.out.starts_with("cli@127.0.0.1 answered in "),
        "{ping:?}"
    );
    assert!(
        with(&["ping", "cli@127.0.0.1", "--json"]).json()["ms"]
            .as_f64()
            .unwrap()
            > 0.0
    );

    let call = |words: &[&str]| {
        let done = run(rendez_with(&epmd)
            .args(["call", "cli@127.0.0.1"])
            .args(words));
        assert_eq!(done.code, Some(0), "{done:?}");
        done.out.trim_end().to_owned()
    };
    assert_eq!(call(&["erlang", "node"]), "'cli@127.0.0.1'");
    assert_eq!(call(&["erlang", "nodes"]), "[]");
    assert_eq!(
        call(&["lists", "reverse", "[1,2,{x,\"y\"}]"]),
        "[{x,\"y\"},2,1]"
    );
    assert_eq!(call(&["erlang", "abs", "-5"]), "5");
    assert_eq!(
        call(&["maps", "to_list", "#{<<\"ü\"/utf8>> => 1.0}"]),
        "[{<<\"ü\"/utf8>>,1.0}]"
    );
    assert_eq!(call(&["erlang", "list_to_pid", "\"<0.0.0>\""]), "<0.0.0>");
    assert_eq!(
        call(&["maps", "from_list", "[{a,[1,2]},{b,nil}]", "--json"]),
        r#"{"a":[1,2],"b":null}"#
    );

    // A label of more than 63 characters: no name server is asked for it.
    let unresolvable = format!("cli@{}.invalid", "x".repeat(64));
    for (words, reason, part) in [
        (["cli@127.0.0.1", "erlang", "nosuch"], "badrpc", "undef"),
        (
            ["gone@127.0.0.1", "erlang", "node"],
            "not_registered",
            "does not know gone@127.0.0.1",
        ),
        (
            [&unresolvable, "erlang", "node"],
            "name_resolution",
            "does not resolve",
        ),
    ] {
        let done = run(rendez_with(&epmd).arg("call").args(words).arg("--json"));
        assert_eq!(done.code, Some(1), "{done:?}");
        assert_eq!(done.json()["error"]["reason"], reason, "{done:?}");
        assert!(
            done.err.contains(part) && done.err.lines().count() == 1,
            "{done:?}"
        );
    }
    let done = run(rendez_with(&epmd)
        .args(["ping", "cli@127.0.0.1"])
        .env("RENDEZ_COOKIE", "other"));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.err
            .contains("the cookie given here is not the cookie of cli@127.0.0.1"),
        "{done:?}"
    );

    let epmds = with(&["discover", "--via", "epmd", "--hosts", "127.0.0.1"]);
    assert_eq!(
        (epmds.code, epmds.out.as_str()),
        (Some(0), "cli@127.0.0.1\n"),
        "{epmds:?}"
    );
}

#[test]
fn the_sidecar_joins_a_node_to_the_others_and_ends_on_sigterm() {
    if !beam_is_installed("rendez attach") {
        return;
    }
    let epmd = Epmd::start();
    let mut one = Beam::start(&epmd, &BeamOptions::erl("one@127.0.0.1"));
    let mut two = Beam::start(&epmd, &BeamOptions::erl("two@127.0.0.1"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rendez.toml");
    std::fs::write(
        &file,
        "[via.list]\nnode_list = ['one@127.0.0.1', 'two@127.0.0.1']\n",
    )
    .unwrap();
    let sidecar = Running::start(
        rendez_with(&epmd)
            .args([
                "attach",
                "one@127.0.0.1",
                "--log-format",
                "json",
                "--config",
            ])
            .arg(&file),
    );
    one.wait_for_nodes(&["two@127.0.0.1"], WITHIN);
    two.wait_for_nodes(&["one@127.0.0.1"], WITHIN);
    sidecar.signal("TERM");
    let done = sidecar.wait();
    assert_eq!(done.code, Some(0), "{done:?}");
    for line in done.err.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("a JSON object a line");
        assert!(entry["level"].is_string(), "{line}");
    }
    assert!(
        !done.err.contains("rendez-tests"),
        "the cookie is in the log"
    );
    assert_eq!(one.nodes(), ["two@127.0.0.1"], "what was joined stays");
}

#[test]
fn a_wrong_cookie_ends_the_sidecar_with_the_cause() {
    if !beam_is_installed("rendez attach with a wrong cookie") {
        return;
    }
    let epmd = Epmd::start();
    let _node = Beam::start(&epmd, &BeamOptions::erl("one@127.0.0.1"));
    let done = run(rendez_with(&epmd)
        .args(["attach", "one@127.0.0.1", "--via", "self"])
        .env("RENDEZ_COOKIE", "other"));
    assert_eq!(done.code, Some(1), "{done:?}");
    let last = done.err.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("rendez: the cookie given here is not the cookie of one@127.0.0.1"),
        "{done:?}"
    );
}

#[test]
fn our_epmd_serves_nodes_and_the_names_command() {
    let port = free_tcp_port();
    let command = |words: &[&str]| {
        let mut command = rendez();
        command.env("ERL_EPMD_PORT", port.to_string()).args(words);
        command
    };
    let before = run(&mut command(&["names", "127.0.0.1", "--json"]));
    assert_eq!(before.code, Some(1));
    assert_eq!(before.json()["error"]["reason"], "no_epmd");

    let server = Running::start(&mut command(&["epmd", "--address", "127.0.0.1"]));
    let start = Instant::now();
    while run(&mut command(&["names", "127.0.0.1"])).code != Some(0) {
        assert!(start.elapsed() < WITHIN, "rendez epmd does not come up");
    }
    let second = run(&mut command(&["epmd", "--address", "127.0.0.1"]));
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.err.contains("something listens at"), "{second:?}");
    if beam_is_installed("a node that registers with rendez epmd") {
        let epmd = Epmd::elsewhere(port);
        let _node = Beam::start(&epmd, &BeamOptions::erl("ours@127.0.0.1"));
        let names = run(&mut command(&["names", "127.0.0.1"]));
        assert!(names.out.starts_with("ours "), "{names:?}");
    }
    // A wish to see the status, and a terminal that is closed: neither kills it.
    server.signal("USR1");
    while !server.err_line().contains("nodes are registered") {}
    server.signal("HUP");
    let done = server.wait();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn our_epmd_serves_on_when_its_log_cannot_be_written() {
    let command = |port: u16, words: &[&str]| {
        let mut command = rendez();
        command.env("ERL_EPMD_PORT", port.to_string()).args(words);
        command
    };
    let full = || {
        std::fs::File::create("/dev/full")
            .expect("/dev/full")
            .into()
    };
    for (what, stderr) in [
        ("a full disk", full()),
        ("a pipe that nobody reads", Stdio::piped()),
    ] {
        let port = free_tcp_port();
        let mut server = command(port, &["epmd", "--address", "127.0.0.1", "--log", "trace"]);
        let mut server = Ended(server.stderr(stderr).spawn().expect("rendez epmd starts"));
        // The reader is gone.
        drop(server.0.stderr.take());
        let start = Instant::now();
        while run(&mut command(port, &["names", "127.0.0.1"])).code != Some(0) {
            assert!(start.elapsed() < WITHIN, "{what}: it does not come up");
            let ended = server.0.try_wait().expect("its status");
            assert!(ended.is_none(), "{what}: {ended:?}");
        }
        for _ in 0..3 {
            let names = run(&mut command(port, &["names", "127.0.0.1"]));
            assert_eq!(names.code, Some(0), "{what}: {names:?}");
        }
        assert!(server.0.try_wait().expect("its status").is_none(), "{what}");
    }
}

#[test]
fn under_nohup_a_closed_terminal_ends_nothing() {
    let port = free_tcp_port();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "trap '' HUP; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_rendez"),
        ])
        .args(["epmd", "--address", "127.0.0.1"])
        .env("ERL_EPMD_PORT", port.to_string());
    let server = Running::start(&mut command);
    assert!(server.err_line().contains("serves EPMD"));
    server.signal("HUP");
    server.signal("USR1");
    assert!(server.err_line().contains("0 nodes are registered"));
    let names = rendez()
        .env("ERL_EPMD_PORT", port.to_string())
        .args(["names", "127.0.0.1"])
        .output();
    assert!(names.expect("it runs").status.success());
    server.signal("TERM");
    let done = server.wait();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.err.contains("SIGTERM") && !done.err.contains("SIGHUP"),
        "{done:?}"
    );
}

/// A child that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_watch_over_dns_tells_who_comes_and_goes_and_what_fails() {
    let dns = DnsServer::start();
    dns.set("shop.test.", Reply::addresses(["10.0.0.1"]));
    let server = dns.address().to_string();
    let words = [
        "discover",
        "--via",
        "dns",
        "--dns-name",
        "shop@shop.test",
        "--nameservers",
        &server,
        "--interval",
        "50ms",
        "--keep-for",
        "0",
        "--watch",
    ];
    let text = Running::start(rendez().args(words));
    let objects = Running::start(rendez().args(words).arg("--json"));
    let object = || -> serde_json::Value {
        serde_json::from_str(&objects.line()).expect("an object a line")
    };
    assert_eq!(text.line(), "+ shop@10.0.0.1 (dns)");
    assert_eq!(
        object(),
        json!({"event": "found", "node": "shop@10.0.0.1", "provider": "dns"})
    );

    dns.set("shop.test.", Reply::addresses(["10.0.0.1", "10.0.0.2"]));
    assert_eq!(text.line(), "+ shop@10.0.0.2 (dns)");
    assert_eq!(object()["node"], "shop@10.0.0.2");

    // A name that went away is a failure, and removes nobody.
    dns.set("shop.test.", Reply::NoName);
    let failed = object();
    assert_eq!(
        (&failed["event"], &failed["provider"]),
        (&json!("failed"), &json!("dns"))
    );
    assert!(failed["error"].as_str().unwrap().contains("shop.test"));

    // Each of the two looks for itself.
    assert!(text.err_line().starts_with("rendez: dns: "));

    dns.set("shop.test.", Reply::addresses(["10.0.0.2"]));
    // It may fail once more, with other words, before the new answer.
    let mut awaited = vec!["lost", "recovered"];
    while !awaited.is_empty() {
        let event = object();
        awaited.retain(|kind| event["event"] != *kind);
        assert!(event["event"] != "found", "{event}");
    }
    assert_eq!(text.line(), "- shop@10.0.0.1 (dns)");
    text.signal("TERM");
    assert_eq!(text.wait().code, Some(0));
}

#[test]
fn a_provider_that_fails_does_not_hide_what_the_others_found() {
    let dns = DnsServer::start();
    let server = dns.address().to_string();
    let words = [
        "discover",
        "--via",
        "list",
        "--node-list",
        "a@h",
        "--via",
        "dns",
        "--dns-name",
        "shop@nosuch.test",
        "--nameservers",
        &server,
    ];
    let done = run(rendez().args(words));
    assert_eq!((done.code, done.out.as_str()), (Some(1), "a@h\n"));
    assert!(
        done.err
            .starts_with("rendez: dns: nosuch.test does not exist"),
        "{done:?}"
    );
    let done = run(rendez().args(words).arg("--json"));
    let found = done.json();
    assert_eq!((done.code, &found["nodes"]), (Some(1), &json!(["a@h"])));
    assert_eq!(found["failed"][0]["provider"], "dns");
}

#[test]
fn announcements_are_heard_by_someone_who_only_looks() {
    if !beam_is_installed("rendez discover --via multicast") {
        return;
    }
    let epmd = Epmd::start();
    let _node = Beam::start(&epmd, &BeamOptions::erl("loud@127.0.0.1"));
    let port = free_udp_port().to_string();
    let multicast = [
        "--via",
        "multicast",
        "--interface",
        "127.0.0.1",
        "--port",
        &port,
    ];
    let sidecar = Running::start(
        rendez_with(&epmd)
            .args(["attach", "loud@127.0.0.1"])
            .args(multicast),
    );
    let watch = Running::start(
        rendez_with(&epmd)
            .args(["discover", "--watch"])
            .args(multicast),
    );
    assert_eq!(watch.line(), "+ loud@127.0.0.1 (multicast)");
    let done = run(rendez_with(&epmd).arg("discover").args(multicast));
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), "loud@127.0.0.1\n"),
        "{done:?}"
    );
    // Another secret hears nothing, which is no failure.
    let done = run(rendez_with(&epmd)
        .arg("discover")
        .args(multicast)
        .env("RENDEZ_SECRET", "other"));
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    sidecar.signal("TERM");
    assert_eq!(watch.line(), "- loud@127.0.0.1 (multicast)", "its goodbye");
    assert_eq!(sidecar.wait().code, Some(0));
}

#[test]
fn nodes_that_speak_tls_are_pinged_and_joined() {
    if !beam_is_installed("rendez ping and attach over TLS") {
        return;
    }
    let (epmd, authority) = (Epmd::start(), DistAuthority::new("the cluster"));
    let papers = authority.papers("localhost");
    let strict = "{verify, verify_peer}, {fail_if_no_peer_cert, true}";
    let optfile = authority.options(&papers, "{verify, verify_peer}", strict);
    let optfile = optfile.to_str().unwrap();
    let inetrc = authority.inetrc();
    let start = |name: &str| {
        let options = BeamOptions::erl(name).flags([
            "-proto_dist",
            "inet_tls",
            "-ssl_dist_optfile",
            optfile,
            "-kernel",
            "inetrc",
            &inetrc,
        ]);
        Beam::start(&epmd, &options)
    };
    let (mut one, mut two) = (start("one@localhost"), start("two@localhost"));
    let plain = run(rendez_with(&epmd).args(["ping", "one@localhost"]));
    assert_eq!(plain.code, Some(1), "{plain:?}");
    assert!(plain.err.contains("given no options for TLS"), "{plain:?}");
    let done = run(rendez_with(&epmd).args(["ping", "one@localhost", "--tls-optfile", optfile]));
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = run(rendez_with(&epmd)
        .args(["call", "one@localhost", "erlang", "node", "--tls-ca"])
        .arg(authority.file())
        .arg("--tls-cert")
        .arg(&papers.certificate)
        .arg("--tls-key")
        .arg(&papers.key));
    assert_eq!((done.code, done.out.trim()), (Some(0), "one@localhost"));
    let done = run(rendez_with(&epmd).args([
        "ping",
        "one@localhost",
        "--tls-ca",
        "/nonexistent",
        "--json",
    ]));
    assert_eq!(done.json()["error"]["reason"], "tls");

    let sidecar = Running::start(
        rendez_with(&epmd)
            .env("RENDEZ_TLS_OPTFILE", optfile)
            .args(["attach", "one@localhost", "--via", "list"])
            .args(["--node-list", "one@localhost,two@localhost"]),
    );
    one.wait_for_nodes(&["two@localhost"], WITHIN);
    two.wait_for_nodes(&["one@localhost"], WITHIN);
    sidecar.signal("TERM");
    let done = sidecar.wait();
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn nodes_without_epmd_are_pinged_called_and_joined_by_their_port() {
    if !beam_is_installed("nodes without EPMD") {
        return;
    }
    // Where nobody is asked, and nobody would answer.
    let (nowhere, port) = (
        Epmd::elsewhere(free_tcp_port()),
        free_tcp_port().to_string(),
    );
    let start = |name: &str, at: &str| {
        let flags = [
            "-erl_epmd_port",
            &port,
            "-kernel",
            "inet_dist_use_interface",
            at,
        ];
        Beam::start(&nowhere, &BeamOptions::erl(name).flags(flags))
    };
    let mut one = start("one@127.0.0.1", "{127,0,0,1}");
    let mut two = start("two@127.0.0.2", "{127,0,0,2}");
    let with = |words: &[&str]| run(rendez_with(&nowhere).args(words));

    let ping = with(&["ping", "one@127.0.0.1", "--port", &port]);
    assert_eq!(ping.code, Some(0), "{ping:?}");
    let call = with(&["call", "two@127.0.0.2", "--port", &port, "erlang", "node"]);
    assert_eq!(call.out, "'two@127.0.0.2'\n", "{call:?}");
    let by_environment = run(rendez_with(&nowhere)
        .args(["ping", "one@127.0.0.1"])
        .env("ERL_DIST_PORT", &port));
    assert_eq!(by_environment.code, Some(0), "{by_environment:?}");

    let ping = with(&["ping", "one@127.0.0.1"]);
    assert_eq!(ping.code, Some(1), "{ping:?}");
    assert!(
        ping.err.contains("are reached with --port PORT"),
        "{ping:?}"
    );
    let closed = free_tcp_port().to_string();
    let ping = with(&["ping", "one@127.0.0.1", "--port", &closed]);
    assert_eq!(ping.code, Some(1), "{ping:?}");
    let wanted = format!("nothing listens at 127.0.0.1:{closed}, the port given for one@127.0.0.1");
    assert!(ping.err.contains(&wanted), "{ping:?}");
    let wrong = run(rendez_with(&nowhere)
        .args(["ping", "one@127.0.0.1"])
        .env("ERL_DIST_PORT", "http"));
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.err.contains("ERL_DIST_PORT is \"http\""), "{wrong:?}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rendez.toml");
    let list = "[via.list]\nnode_list = ['one@127.0.0.1', 'two@127.0.0.2']\n";
    std::fs::write(&file, list).unwrap();
    let attach = rendez_with(&nowhere)
        .args(["attach", "one@127.0.0.1", "--dist-port", &port, "--config"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let attach = Attached(attach.expect("the sidecar starts"));
    one.wait_for_nodes(&["two@127.0.0.2"], WITHIN);
    two.wait_for_nodes(&["one@127.0.0.1"], WITHIN);
    drop(attach);
}

/// A sidecar that ends with the test.
struct Attached(std::process::Child);

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_node_named_by_an_ipv6_address_is_asked() {
    if !beam_is_installed("nodes with IPv6 addresses") {
        return;
    }
    let epmd = Epmd::start();
    let options = BeamOptions::erl("six@::1").flags(["-proto_dist", "inet6_tcp"]);
    let _six = Beam::start(&epmd, &options);
    let with = |words: &[&str]| run(rendez_with(&epmd).args(words));
    let ping = with(&["ping", "six@::1"]);
    assert_eq!(ping.code, Some(0), "{ping:?}");
    let names = with(&["names", "::1"]);
    assert!(names.out.starts_with("six "), "{names:?}");
    let gone = with(&["ping", "gone@::1"]);
    let wanted = format!("EPMD at [::1]:{} does not know gone@::1", epmd.port);
    assert!(gone.err.contains(&wanted), "{gone:?}");
}

#[test]
fn a_host_whose_first_address_is_dead_is_reached_by_the_other_one() {
    if !beam_is_installed("hosts with a dead address") {
        return;
    }
    let Some(lan) = Lan::new(1, "hosts with a dead address") else {
        return;
    };
    let inside = |words: &[&str]| {
        let done = Command::new("ip")
            .args(&lan.enter(1)[1..])
            .args(words)
            .status();
        assert!(done.is_ok_and(|status| status.success()), "{words:?}");
    };
    // 192.0.2.77 takes everything and answers nothing.
    inside(&["ip", "addr", "add", "192.0.2.1/24", "dev", "eth0"]);
    let nowhere = [
        "ip",
        "neigh",
        "add",
        "192.0.2.77",
        "lladdr",
        "02:00:00:00:00:01",
    ];
    inside(&[&nowhere[..], &["dev", "eth0", "nud", "permanent"]].concat());
    inside(&[
        "ip",
        "-6",
        "addr",
        "add",
        "fdaa::1/64",
        "dev",
        "lo",
        "nodad",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let text = "127.0.0.1 localhost\n192.0.2.77 dual.test dead.test\nfdaa::1 dual.test\n";
    std::fs::write(&hosts, text).unwrap();
    // Of `ip netns exec` each command has its own mounts.
    let known = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let within = [&lan.enter(1)[..], &["sh", "-c", &known, "sh"]].concat();

    let epmd = Epmd::start_on(free_tcp_port(), &lan.enter(1));
    let options = BeamOptions::erl("six@dual.test").flags(["-proto_dist", "inet6_tcp"]);
    let _six = Beam::start(&epmd, &options.within(&lan.enter(1)));
    let ping = |node: &str| {
        let command = rendez_with(&epmd);
        let mut prefixed = Command::new(within[0]);
        prefixed.args(&within[1..]).arg(command.get_program());
        prefixed.args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                prefixed.env(name, value);
            }
        }
        // Two addresses are tried 250 ms apart, once for EPMD and once for the node, and a machine that is busy takes
        // longer. The kernel gives the first one up after two minutes.
        run(prefixed.args(["ping", node, "--timeout", "5s"]))
    };
    let done = ping("six@dual.test");
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = ping("six@dead.test");
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.err.contains(&format!("192.0.2.77:{}", epmd.port)),
        "{done:?}"
    );
}
