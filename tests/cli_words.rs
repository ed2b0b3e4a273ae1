//! What the command takes, and how it says that the words are off: status 2 and one line.
#![cfg(feature = "cli")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

mod support;

use support::cli::{Done, Running, rendez, run, run_with};

fn refused(done: &Done, part: &str) {
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains(part), "{:?} has no {part:?}", done.err);
    assert!(done.err.starts_with("rendez: "), "{:?}", done.err);
    assert_eq!(done.err.lines().count(), 1, "{:?}", done.err);
}

#[test]
fn help_is_there_for_every_subcommand_with_examples() {
    let done = run_with(["--help"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    for command in [
        "discover", "attach", "names", "hosts", "ping", "call", "epmd",
    ] {
        assert!(done.out.contains(command));
        let help = run_with([command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}");
        assert!(
            help.out.contains(&format!("Examples:\n  rendez {command}")),
            "{command}: {}",
            help.out
        );
    }
    let version = run_with(["--version"]);
    assert_eq!(
        version.out,
        format!("rendez {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn words_that_are_off_are_refused_with_the_nearest() {
    for (words, part) in [
        (
            &["discover", "--via", "dsn"][..],
            "; repeat it for several; got \"dsn\", did you mean dns?",
        ),
        (&["discover"], "--via is missing"),
        (
            &["discover", "--via", "subnet", "--cidr", "fdaa::/64"],
            "--cidr takes a range of IP addresses (10.0.0.0/24) or a list of them; got \"fdaa::/64\": it has 2^64 addresses",
        ),
        (
            &[
                "discover",
                "--via",
                "subnet",
                "--cidr",
                "10.0.0.0/16,10.1.0.0/16",
            ],
            "together they have 131068 addresses",
        ),
        (&["hosts"], "--subnet"),
        (
            &["hosts", "--subnet", "10.0.0.0/8"],
            "it has 16777216 addresses, and a scan takes at most 65536",
        ),
        (
            &[
                "hosts",
                "--subnet",
                "10.0.0.0/16",
                "--subnet",
                "10.1.0.0/16",
            ],
            "together they have 131068 addresses",
        ),
        (
            &["discover", "--via", "command", "--command", "peers 'a"],
            "--command takes a program and its arguments",
        ),
        (
            &["discover", "--via", "command", "--command", ""],
            "got an empty text",
        ),
        (
            &["discover", "--via", "file", "--path", ""],
            "--path takes the path of a file; got an empty text",
        ),
        (
            &["discover", "--via", "dns", "--dns-nam", "x"],
            "'--dns-name'",
        ),
        (
            &["discover", "--via", "dns"],
            "--dns-name is missing; it takes",
        ),
        (
            &["discover", "--via", "dns", "--dns-name", "a.test"],
            "app_name is missing",
        ),
        (
            &["discover", "--via", "dns", "--node-list", "a@h"],
            "--node-list is no option of dns, but of list",
        ),
        (
            &["discover", "--via", "list", "--node-list", "a@h,b"],
            "got \"b\": a node name has the form name@host",
        ),
        (
            &["discover", "--via", "multicast", "--ttl", "-1"],
            "--ttl takes a whole number from 1 to 255; got \"-1\"",
        ),
        (
            &["discover", "--via", "multicast", "--ttl", "1", "--ttl", "2"],
            "--ttl is given twice",
        ),
        (
            &["discover", "--via", "multicast"],
            "multicast announcements are always authenticated",
        ),
        (
            &[
                "discover",
                "--interval",
                "5",
                "--via",
                "dns",
                "--dns-name",
                "a@b",
                "--via",
                "epmd",
            ],
            "--interval stands beside several providers (dns, epmd); put it inside the one that it is for: --via dns --interval ...",
        ),
        (
            &["discover", "--via", "Elixir.My.Peers"],
            "Elixir.My.Peers is a module, which only the package can run",
        ),
        (
            &["discover", "--via", "self", "--for", "soon"],
            "it takes seconds, or text with a unit",
        ),
        (&["ping", "nohost"], "there is no `@`"),
        (&["names", "--port", "0"], "0 is not in 1..=65535"),
        (
            &["call", "a@h", "m", "f", "[1,", "--cookie", "x"],
            "argument 1 is no Erlang term: line 1, column 4: expected a term",
        ),
        (&["attach", "a@h", "--cookie", "x"], "--via is missing"),
        (
            &["attach"],
            "rendez: the following required arguments were not provided: <NODE>; see --help",
        ),
        (
            &["ping", "a@h", "--cookie", "x", "--cookie-file", "y"],
            "cannot be used with",
        ),
        (
            &["names", "--log", "rendez=loud"],
            "--log or RENDEZ_LOG takes error, warn",
        ),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
    ] {
        refused(&run(rendez().args(words)), part);
    }
}

#[test]
fn with_json_a_failure_is_an_object_too() {
    let done = run_with(["discover", "--via", "dsn", "--json"]);
    assert_eq!(done.code, Some(2));
    let error = &done.json()["error"];
    assert_eq!(error["reason"], "usage");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("did you mean dns?")
    );
    assert_eq!(
        run_with(["ping", "x", "--json"]).json()["error"]["reason"],
        "usage"
    );
}

#[test]
fn the_list_needs_nobody_and_prints_one_name_a_line() {
    let words = [
        "discover",
        "--via",
        "list",
        "--node-list",
        "b@h,a@h",
        "--node-list",
        "c@h",
    ];
    let done = run_with(words);
    assert_eq!(
        (done.code, done.out.as_str(), done.err.as_str()),
        (Some(0), "a@h\nb@h\nc@h\n", "")
    );
    let done = run(rendez().args(words).arg("--json"));
    assert_eq!(
        done.json(),
        serde_json::json!({"nodes": ["a@h", "b@h", "c@h"], "failed": []})
    );
    let done = run(rendez().args(words).args(["--accept", "a@*,b@?"]));
    assert_eq!(done.out, "a@h\nb@h\n");
    let done = run_with(["discover", "--via", "self"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""));
}

#[test]
fn options_belong_to_the_via_before_them() {
    let words = [
        "discover",
        "--via",
        "list",
        "--node-list",
        "a@h",
        "--via",
        "list",
        "--node-list",
        "b@h",
        "--json",
    ];
    assert_eq!(
        run_with(words).json()["nodes"],
        serde_json::json!(["a@h", "b@h"])
    );
    let done = run_with(["discover", "--node-list", "a@h", "--via", "list"]);
    assert_eq!(done.out, "a@h\n");
}

#[test]
fn file_environment_and_flags_go_over_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rendez.toml");
    fs::write(
        &file,
        "via = 'list'\nnode_list = ['file@h']\naccept = '*@h'\n",
    )
    .unwrap();
    let with_file = || {
        let mut command = rendez();
        command.args(["discover", "--config"]).arg(&file);
        command
    };
    assert_eq!(run(&mut with_file()).out, "file@h\n");
    assert_eq!(
        run(with_file().env("RENDEZ_NODE_LIST", "env@h,env@x")).out,
        "env@h\n"
    );
    let done = run(with_file()
        .env("RENDEZ_NODE_LIST", "env@h")
        .args(["--node-list", "flag@h"]));
    assert_eq!(done.out, "flag@h\n");
    let done = run(rendez().arg("discover").env("RENDEZ_CONFIG", &file));
    assert_eq!(done.out, "file@h\n");
    let done = run(rendez()
        .arg("discover")
        .env("RENDEZ_VIA", "list")
        .env("RENDEZ_LIST__NODE_LIST", "env@h"));
    assert_eq!(done.out, "env@h\n");

    // A variable that is no option is warned about; one that Kubernetes sets is not.
    let done = run(with_file()
        .env("RENDEZ_NODELIST", "x")
        .env("RENDEZ_PORT", "tcp://10.0.0.1:80"));
    assert_eq!(done.code, Some(0));
    assert!(
        done.err
            .contains("RENDEZ_NODELIST: there is no such option; did you mean RENDEZ_NODE_LIST?"),
        "{done:?}"
    );
    assert_eq!(done.err.lines().count(), 1, "{done:?}");

    fs::write(&file, "via = 'list'\nnode_lst = ['file@h']\n").unwrap();
    refused(
        &run(&mut with_file()),
        "rendez.toml: node_lst: there is no such option; did you mean node_list?",
    );
    fs::write(&file, "[via.dns]\ninterval = '5 parsecs'\n").unwrap();
    let done = run(&mut with_file());
    refused(&done, "rendez.toml: via.dns.interval takes");
    refused(&done, "rendez.toml: via.dns.dns_name is missing");
    fs::write(&file, "via = 'list'\nnode_list = [\n").unwrap();
    refused(&run(&mut with_file()), "rendez.toml, line ");
    refused(
        &run_with(["discover", "--config", "/nonexistent/x.toml"]),
        "cannot read the configuration /nonexistent/x.toml",
    );
    refused(
        &run(rendez().arg("discover").env("RENDEZ_VIA", "lst")),
        "RENDEZ_VIA takes self, list",
    );
    refused(
        &run(rendez()
            .args(["discover", "--via", "self"])
            .env("RENDEZ_LOG_FORMAT", "xml")),
        "RENDEZ_LOG_FORMAT takes text or json",
    );
}

fn allow(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn cookies_come_from_the_places_in_their_order_and_are_never_shown() {
    let home = tempfile::tempdir().unwrap();
    let there = home.path().join(".erlang.cookie");
    let file = home.path().join("cookie");
    let ping = || {
        let mut command = rendez();
        // Nothing listens on port 1, so a cookie that was found leads to that failure.
        command
            .args(["ping", "a@127.0.0.1"])
            .env("HOME", home.path())
            .env("ERL_EPMD_PORT", "1");
        command
    };
    let found = |done: Done| {
        assert_eq!(done.code, Some(1));
        assert!(
            done.err.contains("nothing listens at 127.0.0.1:1"),
            "{done:?}"
        );
        assert!(!done.err.contains("monster"), "{done:?}");
        done
    };
    let failed = |done: Done, part: &str| {
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains(part), "{:?} has no {part:?}", done.err);
        assert!(!done.err.contains("monster"), "{done:?}");
    };
    failed(
        run(&mut ping()),
        ".erlang.cookie, and RENDEZ_COOKIE and RELEASE_COOKIE are not set; give --cookie-file FILE or set",
    );
    failed(
        run(ping().env_remove("HOME")),
        "no cookie: HOME is not set, so no .erlang.cookie was looked for, and RENDEZ_COOKIE and RELEASE_COOKIE are \
         not set; give --cookie-file FILE or set RENDEZ_COOKIE",
    );
    let done = run(ping().arg("--json"));
    assert_eq!(done.json()["error"]["reason"], "no_cookie");
    found(run(ping().env("RELEASE_COOKIE", "monster")));
    found(run(ping().env("RENDEZ_COOKIE", "monster")));
    fs::write(&there, "monster\n").unwrap();
    fs::write(&file, "monster\n").unwrap();
    for mode in [0o644, 0o440] {
        allow(&there, mode);
        allow(&file, mode);
        let refusal = "must be accessible by its owner only, as Erlang demands; its mode is";
        failed(run(&mut ping()), refusal);
        failed(run(ping().arg("--cookie-file").arg(&file)), refusal);
        let mut attach = rendez();
        attach.args(["attach", "a@127.0.0.1", "--via", "self", "--cookie-file"]);
        failed(run(attach.arg(&file)), "`chmod 400` it");
    }
    for mode in [0o400, 0o600] {
        allow(&there, mode);
        allow(&file, mode);
        found(run(&mut ping()));
        found(run(ping().arg("--cookie-file").arg(&file)));
    }
    // The second place in which Erlang looks.
    let config = home.path().join("xdg/erlang");
    fs::create_dir_all(&config).unwrap();
    let second = config.join(".erlang.cookie");
    fs::rename(&there, &second).unwrap();
    found(run(ping().env("XDG_CONFIG_HOME", home.path().join("xdg"))));
    allow(&second, 0o604);
    failed(
        run(ping().env("XDG_CONFIG_HOME", home.path().join("xdg"))),
        "xdg/erlang/.erlang.cookie must be accessible by its owner only",
    );

    // What is named first counts, so a place after it cannot even be wrong.
    fs::write(&there, "").unwrap();
    allow(&there, 0o600);
    found(run(ping().env("RELEASE_COOKIE", "monster")));
    failed(
        run(&mut ping()),
        ".erlang.cookie holds no cookie; it is empty",
    );
    fs::write(&file, "monster\nmonster2\n").unwrap();
    failed(
        run(ping()
            .arg("--cookie-file")
            .arg(&file)
            .env("RENDEZ_COOKIE", "monster")),
        "holds more than one line",
    );
    failed(
        run(ping()
            .args(["--cookie-file", "/nonexistent/x"])
            .env("RENDEZ_COOKIE", "monster")),
        "cannot read --cookie-file /nonexistent/x",
    );
    let done = found(run(ping().args(["--cookie", "monster"])));
    assert!(
        done.err
            .contains("--cookie shows the cookie to everyone who runs `ps`"),
        "{done:?}"
    );
    let done = run(rendez()
        .args([
            "discover",
            "--via",
            "multicast",
            "--secret",
            "monster",
            "--for",
            "1ms",
        ])
        .args(["--interface", "127.0.0.1", "--port", "1", "--log", "debug"]));
    assert!(done.err.contains("--secret shows the secret"), "{done:?}");
    assert!(!done.err.contains("monster"), "{done:?}");
}

/// A server that refuses whatever it is asked.
fn refusing_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 16_384]);
                let answer =
                    "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    port
}

#[test]
fn no_secret_is_shown_whatever_goes_wrong_and_however_much_is_logged() {
    let server = format!("http://127.0.0.1:{}", refusing_server());
    let secret_url = format!("{server}/monster?key=monster");
    let with_user = server.replace("://", "://monster:monster@");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("token", "monster"), ("namespace", "default")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let account = folder.path().display().to_string();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let toml = [
        file("1.toml", "via = 'multicast'\nsecret = 'monster\n"),
        file("2.toml", "via = 'multicast'\nsecret = ['monster']\n"),
        file("3.toml", "[via]\nhttp = 'https://monster@host'\n"),
        file("4.toml", "via = 'https://monster@host'\n"),
        file(
            "5.toml",
            "via = 'http'\nurl = 'http://h/'\ntoken = \"mons\\u0000ter\"\n",
        ),
        file("6.toml", "via = 'multicast'\nsecrt = 'monster'\n"),
    ];
    let http = ["--via", "http", "--url"];
    let keys = ["--token", "monster", "--header", "X-Key: monster"];
    let mut runs: Vec<Vec<&str>> = vec![
        [&http[..], &[&secret_url], &keys].concat(),
        [&http[..], &["http://127.0.0.1:1/monster"], &keys].concat(),
        [&http[..], &[&with_user], &keys].concat(),
        [&http[..], &[&secret_url, "--tokn", "monster"]].concat(),
        [&http[..], &[&secret_url, "--header", "monster"]].concat(),
        vec!["--via", "multicast", "--secrte", "monster"],
        vec![
            "--via",
            "multicast",
            "--interface",
            "127.0.0.1",
            "--port",
            "1",
            "--secret",
            "monster",
        ],
        vec![
            "--via",
            "command",
            "--command",
            "sh -c 'echo $0 $1 >&2; exit 1' monster-key http://monster:monster@h",
        ],
        vec!["--via", "command", "--command", "sh 'monster"],
        vec![
            "--via",
            "ec2",
            "--tags",
            "a=b",
            "--app-name",
            "a",
            "--region",
            "x",
            "--endpoint",
            &server,
        ],
        vec![
            "--via",
            "ec2",
            "--tags",
            "a=b",
            "--app-name",
            "a",
            "--region",
            "x",
            "--endpoint",
            &with_user,
        ],
        vec![
            "--via",
            "ec2",
            "--tags",
            "a=b",
            "--app-name",
            "a",
            "--region",
            "x",
            "--endpoint",
            "htp://monster@host",
        ],
        vec![
            "--via",
            "rancher",
            "--app-name",
            "a",
            "--endpoint",
            &secret_url,
        ],
        vec![
            "--via",
            "rancher",
            "--app-name",
            "a",
            "--endpoint",
            &with_user,
        ],
        vec![
            "--via",
            "kubernetes",
            "--selector",
            "a=b",
            "--app-name",
            "a",
            "--service-account",
            &account,
            "--api-server",
            &server,
        ],
        vec![
            "--via",
            "kubernetes",
            "--selector",
            "a=b",
            "--app-name",
            "a",
            "--api-server",
            &with_user,
        ],
    ];
    runs.extend(toml.iter().map(|path| vec!["--config", path.as_str()]));
    for words in runs {
        for log in ["error", "trace,none=off"] {
            let mut command = rendez();
            // Announcements are waited for; everything else ends when it has failed.
            let within = match words.contains(&"multicast") {
                true => "300ms",
                false => "300s",
            };
            command.arg("discover").args(&words).args(["--for", within]);
            command.args(["--log", log, "--log-format", "json", "--cookie", "monster"]);
            command.envs([
                ("AWS_ACCESS_KEY_ID", "AKIA"),
                ("AWS_SECRET_ACCESS_KEY", "monster"),
                ("AWS_SESSION_TOKEN", "monster"),
                ("RENDEZ_LIBCLUSTER_SECRET", "monster"),
            ]);
            let done = run(&mut command);
            let shown = format!("{}{}", done.out, done.err);
            // The names of a host are none.
            assert!(!shown.contains("monster"), "{words:?} with {log}: {shown}");
        }
    }
    // What every word is a place in.
    let traced = run(rendez()
        .args([
            "discover",
            "--for",
            "300s",
            "--log",
            "trace,none=off",
            "--via",
            "http",
        ])
        .args(["--url", &secret_url, "--token", "monster"]));
    assert!(traced.err.contains("TRACE"), "{traced:?}");
    assert!(traced.err.contains("403"), "{traced:?}");
}

#[test]
fn a_sidecar_shows_no_secret_in_its_log_or_status() {
    for log in ["info", "trace,none=off"] {
        let mut command = rendez();
        command.args([
            "attach",
            "a@127.0.0.1",
            "--log",
            log,
            "--via",
            "http",
            "--url",
        ]);
        command.args([
            "http://127.0.0.1:1/monster?key=monster",
            "--token",
            "monster",
            "--via",
            "multicast",
        ]);
        command.args([
            "--interface",
            "127.0.0.1",
            "--port",
            "45003",
            "--dialects",
            "native,libcluster",
        ]);
        command.args([
            "--multicast-addr",
            "239.255.1.98",
            "--libcluster-group",
            "233.252.1.98:45004",
        ]);
        command.envs([
            ("ERL_EPMD_PORT", "1"),
            ("RENDEZ_COOKIE", "monster"),
            ("RENDEZ_SECRET", "monster"),
            ("RENDEZ_LIBCLUSTER_SECRET", "monster"),
        ]);
        let running = Running::start(&mut command);
        let mut lines = Vec::new();
        let mut until = |part: &str| {
            while !lines
                .last()
                .is_some_and(|line: &String| line.contains(part))
            {
                lines.push(running.err_line());
            }
        };
        until("not attached");
        running.signal("USR1");
        until("status");
        running.signal("TERM");
        let done = running.wait();
        let shown = format!("{lines:?}{done:?}");
        assert!(!shown.contains("monster"), "{shown}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    use std::process::Stdio;
    let nodes: Vec<String> = (0..5_000).map(|number| format!("node{number}@h")).collect();
    let mut child = rendez()
        .args(["discover", "--via", "list"])
        .env("RENDEZ_NODE_LIST", nodes.join(","))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The pipe is closed before it can hold everything.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn help_into_a_pipe_that_is_closed_ends_quietly_and_into_a_full_disk_with_a_word() {
    use std::process::Stdio;
    let mut child = rendez()
        .arg("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("rendez starts");
    drop(child.stdout.take());
    let done = child.wait_with_output().expect("it ends");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stderr.is_empty(), "{done:?}");

    let full = || fs::File::create("/dev/full").expect("/dev/full");
    for words in [
        &["--help"][..],
        &["discover", "--via", "list", "--node-list", "a@h"],
    ] {
        let done = rendez()
            .args(words)
            .stdout(full())
            .output()
            .expect("rendez runs");
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        let err = String::from_utf8_lossy(&done.stderr);
        assert!(
            err.starts_with("rendez: cannot write the output: "),
            "{err}"
        );
    }
    // Nothing can be said, and the status says it.
    let done = rendez()
        .args(["ping", "nohost"])
        .stderr(full())
        .output()
        .expect("rendez runs");
    assert_eq!(done.status.code(), Some(2), "{done:?}");
}

#[test]
fn with_a_json_log_the_end_is_json_too() {
    for words in [
        &[
            "attach",
            "a@127.0.0.1",
            "--via",
            "self",
            "--log-format",
            "json",
        ][..],
        &["attach", "--log-format", "json"],
    ] {
        let done = run(rendez().args(words));
        let line: serde_json::Value =
            serde_json::from_str(done.err.lines().last().expect("a line")).expect("JSON");
        assert_eq!(
            (&line["level"], &line["event"]),
            (&"ERROR".into(), &"ended".into()),
            "{line}"
        );
        let text = line["text"].as_str().expect("a sentence");
        assert!(
            text.contains("no cookie") || text.contains("<NODE>"),
            "{line}"
        );
    }
}
