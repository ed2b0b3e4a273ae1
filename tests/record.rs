//! Records what real BEAM nodes say to each other, for the fuzzers to start from: see `fuzz/corpus/README.md`.
//!
//!     cargo test --test record -- --ignored
//!
//! records the OTP release that is installed; with `RENDEZ_TEST_BEAM="chroot FOLDER"` that of the folder.
#![cfg(feature = "node")]

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rendez::epmd::codec::{Name, NodeType, Registration};
use rendez::epmd::{Client, Registered};
use rendez::etf::{Decoder, Limits, Term};
use support::wiretap::{Manner, Recording, Wiretap};
use support::{Beam, BeamOptions, Epmd, beam_command, beam_is_installed};

const PATIENCE: Duration = Duration::from_secs(300);
/// The cookie of `fuzz/entry.rs`.
const COOKIE: &str = "corpus";
/// `DIST_HDR_ATOM_CACHE` and `FRAGMENTS`: without them each message is a frame of its own with whole terms.
const HEADER_FLAGS: u64 = 0x2000 | 0x80_0000;
/// How many messages of one operation are kept of one release.
const EACH: usize = 3;

/// What is said, one connection each: a name for the file, and expressions for `a@127.0.0.1`, where `B` is
/// the other node and `Echo` a process there that sends back what `{From, What}` it gets.
const TALKS: &[(&str, &str)] = &[
    ("ping", "net_adm:ping(B)"),
    (
        "send",
        "Echo ! {self(), {m, {user, 42, <<\"hello\">>, [a, b, 1.5]}}}, {echo, B} ! {self(), again}, \
         [receive _ -> ok after 5000 -> late end || _ <- [1, 2]]",
    ),
    (
        "numbers",
        "Echo ! {self(), [0, 1, -1, 255, 256, 1 bsl 27, -(1 bsl 31), 1 bsl 31, 1 bsl 64, -(1 bsl 64), \
         1 bsl 2100, -(1 bsl 2100), 0.0, -0.0, 1.5, 1.0e300, 5.0e-324]}, receive _ -> ok end",
    ),
    (
        "atoms",
        "Echo ! {self(), [true, undefined, '', 'Elixir.Enum', 'žluťoučký', 'ÿ', '日本', list_to_atom(lists:duplicate(255, 950))]}, \
         receive _ -> ok end",
    ),
    (
        "containers",
        "Echo ! {self(), [[], {}, #{}, <<>>, <<1:3>>, <<\"hello\">>, \"text\", lists:seq(1, 300), [a | b], \
         list_to_tuple(lists:seq(1, 260)), #{a => #{b => [{c, 1.5}]}, <<\"k\">> => v, 1 => 2}, \
         lists:foldl(fun(_, T) -> {T, [T]} end, x, lists:seq(1, 6)), maps:from_list([{N, N} || N <- lists:seq(1, 40)])]}, \
         receive _ -> ok end",
    ),
    (
        "identifiers",
        "Echo ! {self(), [self(), Echo, make_ref(), alias(), hd(erlang:ports()), fun lists:map/2, fun erlang:node/0]}, \
         receive _ -> ok end",
    ),
    (
        "fun",
        "Echo ! {self(), element(2, hd([T || T <- [{x, fun(X) -> {X, B} end}]]))}, receive _ -> ok end",
    ),
    (
        "link",
        "process_flag(trap_exit, true), P1 = spawn(B, timer, sleep, [60000]), link(P1), unlink(P1), link(P1), \
         exit(P1, kill), W1 = receive {'EXIT', P1, R1} -> R1 after 5000 -> late end, \
         P2 = spawn_link(B, timer, sleep, [60000]), exit(P2, #{reason => {big, lists:seq(1, 50)}}), \
         W2 = receive {'EXIT', P2, R2} -> R2 after 5000 -> late end, \
         P3 = spawn_link(B, erlang, exit, [bye]), W3 = receive {'EXIT', P3, R3} -> R3 after 5000 -> late end, \
         process_flag(trap_exit, false), {W1, W2, W3}",
    ),
    (
        "linked_here",
        "P4 = spawn(timer, sleep, [60000]), P5 = rpc:call(B, erlang, spawn, [timer, sleep, [60000]]), \
         erlang:link(P5), spawn(B, erlang, link, [P4]), timer:sleep(50), exit(P4, shutdown), \
         unlink(P5), exit(P5, kill)",
    ),
    (
        "monitor",
        "P6 = spawn(B, timer, sleep, [60000]), M1 = monitor(process, P6), demonitor(M1, [flush]), M2 = monitor(process, P6), \
         exit(P6, {shutdown, [why, <<\"not\">>]}), M3 = monitor(process, {echo, B}), M4 = monitor(process, {nobody, B}), \
         W4 = [receive {'DOWN', M, _, _, R4} -> R4 after 5000 -> late end || M <- [M2, M4]], demonitor(M3), W4",
    ),
    (
        "spawn",
        "{P7, M7} = spawn_monitor(B, erlang, exit, [{bye, 1}]), W7 = receive {'DOWN', M7, _, _, R7} -> R7 after 5000 -> late end, \
         Q8 = spawn_request(B, no_module, no_function, [], [{reply, yes}, monitor]), \
         receive {spawn_reply, Q8, _, _} -> ok after 5000 -> late end, receive {'DOWN', Q8, _, _, _} -> ok after 5000 -> late end, \
         Q9 = spawn_request(B, erlang, node, [], [{reply, error_only}, {bad, option}]), \
         receive {spawn_reply, Q9, R9, W9} -> {R9, W9} after 5000 -> late end",
    ),
    (
        "erpc",
        "[catch erpc:call(B, lists, reverse, [[1, 2, 3]]), catch erpc:call(B, nomod, nofun, []), \
         catch erpc:call(B, erlang, error, [boom]), catch erpc:multicall([B], erlang, throw, [t]), \
         erpc:cast(B, erlang, node, []), erpc:receive_response(erpc:send_request(B, erlang, node, []), 5000), \
         catch erpc:call(B, timer, sleep, [60000], 20)]",
    ),
    (
        "rpc",
        "[rpc:call(B, erlang, node, []), rpc:call(B, nomod, nofun, []), rpc:cast(B, erlang, node, []), \
         rpc:multicall([B], erlang, system_info, [otp_release]), rpc:call(B, io, format, [\"~n\"]), \
         rpc:call(B, timer, sleep, [60000], 20), rpc:block_call(B, erlang, node, [])]",
    ),
    (
        "gen_server",
        "[catch gen_server:call({rex, B}, {call, erlang, node, [], group_leader()}), \
         catch gen_server:call({nobody, B}, hello), gen_server:cast({rex, B}, hello), \
         catch gen_server:call({echo, B}, late, 20), gen_server:multi_call([B], rex, hello, 50)]",
    ),
    (
        "alias",
        "A1 = alias(), {echo, B} ! {A1, to_the_alias}, receive to_the_alias -> ok after 5000 -> late end, \
         unalias(A1), {echo, B} ! {A1, dropped}, M5 = monitor(process, Echo, [{alias, reply_demonitor}]), \
         Echo ! {M5, reply}, receive reply -> ok after 5000 -> late end",
    ),
    (
        "group_leader",
        "P8 = spawn(B, timer, sleep, [60000]), group_leader(self(), P8), exit(P8, kill)",
    ),
    ("ticks", "net_adm:ping(B), timer:sleep(2500)"),
];

/// What visible nodes tell each other besides.
const VISIBLE_TALKS: &[(&str, &str)] = &[
    (
        "global",
        "yes = global:register_name(here, self()), global:sync(), rpc:call(B, global, whereis_name, [here]), \
         global:trans({lock, self()}, fun() -> ok end), global:unregister_name(here)",
    ),
    (
        "pg",
        "P9 = spawn(timer, sleep, [60000]), ok = pg:join(rockstars, P9), ok = pg:join(rockstars, [P9, P9]), \
         timer:sleep(50), pg:leave(rockstars, P9), pg:get_members(rockstars), exit(P9, kill)",
    ),
];

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

/// Writes a file, unless another one says the same.
fn keep(target: &str, name: &str, bytes: &[u8]) {
    let folder = corpus(target);
    std::fs::create_dir_all(&folder).unwrap();
    let known = std::fs::read_dir(&folder).unwrap().any(|file| {
        let path = file.unwrap().path();
        path.file_name().is_some_and(|known| known != name) && std::fs::read(path).unwrap() == bytes
    });
    if !known && !bytes.is_empty() {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

/// The handshake's packets, and what came after them.
fn split(stream: &[u8], last: u8) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(&[high, low]) = stream.get(at..at + 2) {
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        let done = stream.get(at + 2) == Some(&last);
        at = end.min(stream.len());
        if done {
            break;
        }
    }
    stream.split_at(at)
}

fn halves(recording: &Recording) -> [(&'static str, &[u8], &[u8]); 2] {
    let (sent, frames_sent) = split(&recording.sent, b'r');
    let (answered, frames_answered) = split(&recording.answered, b'a');
    [
        ("sent", sent, frames_sent),
        ("answered", answered, frames_answered),
    ]
}

/// The frames of a stream, ticks left out.
fn frames(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk::<4>() {
        let Some((frame, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)
        else {
            break;
        };
        if !frame.is_empty() {
            frames.push(frame);
        }
        stream = rest;
    }
    frames
}

/// The same frames with the fragments of two messages taking turns. On a slow network they do by themselves;
/// that takes messages that are too large for a corpus.
fn mixed(stream: &[u8]) -> Vec<u8> {
    let (first, rest): (Vec<_>, Vec<_>) = frames(stream)
        .into_iter()
        .partition(|frame| frame[1] != b'F');
    let framed = |frame: &[u8]| {
        let length = u32::try_from(frame.len()).expect("a frame").to_be_bytes();
        [&length, frame].concat()
    };
    first.into_iter().chain(rest).flat_map(framed).collect()
}

/// Two nodes, each of which finds the other through a wiretap.
struct Pair {
    a: Beam,
    b: Beam,
    /// What `a` says when it connects to `b`.
    to_b: Wiretap,
    to_a: Wiretap,
    /// What `a` and the tools say to EPMD.
    epmd: Wiretap,
    epmd_of_a: Epmd,
    _epmd_of_b: Epmd,
    _registered: [Registered; 2],
}

/// Which nodes talk.
#[derive(Clone, Copy)]
struct Setting {
    a: &'static str,
    hidden: bool,
    cookie_of_a: &'static str,
    manner: Manner,
}

const SETTING: Setting = Setting {
    a: "a@127.0.0.1",
    hidden: true,
    cookie_of_a: COOKIE,
    manner: Manner {
        without_flags: 0,
        delay: Duration::ZERO,
        hold: false,
        plain: false,
    },
};

impl Setting {
    /// A small buffer makes senders wait for each other, so that their fragments mix.
    fn of_a(self) -> BeamOptions {
        let options = BeamOptions::erl(self.a)
            .cookie(self.cookie_of_a)
            .flags(["-start_epmd", "false", "+zdbbl", "1"])
            .flags(["-kernel", "net_ticktime", "4"]);
        if self.hidden {
            options.flags(["-hidden"])
        } else {
            options
        }
    }
}

async fn register(epmd: &Epmd, name: &str, port: u16) -> Registered {
    let client = Client::new("127.0.0.1", epmd.port);
    let mut registration = Registration::hidden(Name::new(name).unwrap(), port);
    registration.node_type = NodeType::Normal;
    client.register(registration).await.unwrap()
}

async fn port_of(epmd: &Epmd, name: &str) -> u16 {
    let client = Client::new("127.0.0.1", epmd.port);
    let found = client.port_please(&Name::new(name).unwrap()).await;
    found.unwrap().map_or(1, |found| found.port)
}

impl Pair {
    async fn start(setting: Setting) -> Self {
        let (epmd_of_a, epmd_of_b) = (Epmd::start(), Epmd::start());
        let plain = Manner {
            plain: true,
            ..Manner::default()
        };
        let epmd = Wiretap::new(epmd_of_a.port, plain);
        let b = BeamOptions::erl("b@127.0.0.1")
            .cookie(COOKIE)
            .flags(["-start_epmd", "false"])
            .flags(["-kernel", "net_ticktime", "4"]);
        let mut b = Beam::start(&epmd_of_b, &b);
        let mut a = Beam::start(&Epmd::elsewhere(epmd.port), &setting.of_a());
        let to_b = Wiretap::new(port_of(&epmd_of_b, "b").await, setting.manner);
        let slower = Manner {
            delay: setting.manner.delay * 5,
            ..setting.manner
        };
        let to_a = Wiretap::new(port_of(&epmd_of_a, "a").await, slower);
        let registered = [
            register(&epmd_of_a, "b", to_b.port).await,
            register(&epmd_of_b, "a", to_a.port).await,
        ];
        b.eval("L = fun L() -> receive {F, M} -> F ! M, L(); _ -> L() end end, register(echo, spawn(L)), pg:start(pg)");
        a.eval("B = 'b@127.0.0.1', pg:start(pg)");
        Self {
            a,
            b,
            to_b,
            to_a,
            epmd,
            epmd_of_a,
            _epmd_of_b: epmd_of_b,
            _registered: registered,
        }
    }

    /// Has them talk over a connection of its own, and gives what went through it.
    fn talk(&mut self, expressions: &str) -> Recording {
        let before = self.to_b.recordings().len();
        self.a.eval("true = net_kernel:connect_node(B)");
        let end = self.a.eval(&format!(
            "Echo = erpc:call(B, erlang, whereis, [echo]), {expressions}"
        ));
        println!("{end:.100}");
        self.a.eval("timer:sleep(100), erlang:disconnect_node(B)");
        self.b
            .wait_until("nodes(connected)", PATIENCE, |nodes| nodes == "[]");
        self.to_b.recordings().split_off(before).remove(0)
    }
}

/// The messages of frames without distribution headers, each with its operation.
fn messages<'a>(frames: &[&'a [u8]]) -> Vec<(i64, &'a [u8], &'a [u8])> {
    let pass_through = frames.iter().filter(|frame| frame[0] == b'p');
    let message = pass_through.filter_map(|frame| {
        let message = &frame[1..];
        let bytes = bytes::Bytes::copy_from_slice(message.get(1..)?);
        let length = bytes.len();
        let mut decoder = Decoder::new(&bytes, &[], Limits::default());
        let Term::Tuple(control) = decoder.term().ok()? else {
            return None;
        };
        let end = 1 + length - decoder.remaining();
        Some((control[0].as_int()?, message, &message[end..]))
    });
    message.collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes into the repository"]
async fn record() {
    if !beam_is_installed("recording") {
        return;
    }
    let mut pair = Pair::start(SETTING).await;
    let release = pair.a.eval("list_to_atom(erlang:system_info(otp_release))");
    let release = format!("otp{}", release.trim_matches('\''));

    // Frames with distribution headers and fragments, as they are between nodes of this release.
    for (name, talk) in TALKS {
        let recording = pair.talk(talk);
        for (side, handshake, frames) in halves(&recording) {
            keep("framing", &format!("{release}-{name}-{side}"), frames);
            if *name == "ping" {
                keep("handshake", &format!("{release}-hidden-{side}"), handshake);
            }
        }
    }
    let fragments = "S = self(), [spawn(fun() -> Echo ! {S, {N, binary:copy(<<N>>, 67000)}} end) || N <- [1, 2]], \
                     [receive {_, _} -> ok after 5000 -> late end || _ <- [1, 2]]";
    let recording = pair.talk(fragments);
    let [(_, _, stream), _] = halves(&recording);
    keep("framing", &format!("{release}-fragments"), &mixed(stream));

    // What tools ask EPMD, and what nodes do.
    let port = pair.epmd.port.to_string();
    for words in [&["-names"][..], &["-stop", "nobody"], &["-kill"]] {
        let tool = beam_command("epmd")
            .args(["-port", &port])
            .args(words)
            .output();
        println!("{:?}", tool.unwrap());
    }
    pair.a
        .eval("net_adm:names(), net_adm:ping('nobody@127.0.0.1')");
    drop(pair.a);
    for (number, recording) in pair.epmd.recordings().iter().enumerate() {
        keep("epmd", &format!("{release}-{number}-sent"), &recording.sent);
        keep(
            "epmd",
            &format!("{release}-{number}-answered"),
            &recording.answered,
        );
    }
    drop(pair.epmd_of_a);

    messages_without_headers(&release).await;
    handshakes(&release).await;
}

async fn messages_without_headers(release: &str) {
    let manner = Manner {
        without_flags: HEADER_FLAGS,
        ..Manner::default()
    };
    let mut pair = Pair::start(Setting { manner, ..SETTING }).await;
    let mut kept = HashMap::new();
    for (name, talk) in TALKS {
        let recording = pair.talk(talk);
        for (side, _, stream) in halves(&recording) {
            let frames = frames(stream);
            for (operation, message, payload) in messages(&frames) {
                let count = kept.entry(operation).or_insert(0);
                *count += 1;
                if *count <= EACH {
                    keep(
                        "control",
                        &format!("{release}-{operation}-{count}"),
                        message,
                    );
                }
                // What `Echo` got; it sends the same back.
                let is_echoed = payload.get(1..3) == Some(&[b'h', 2]) && side == "sent";
                if is_echoed && matches!(operation, 2 | 22) {
                    keep("etf", &format!("{release}-{name}"), payload);
                }
            }
            if *name == "send" {
                keep("framing", &format!("{release}-pass-through-{side}"), stream);
            }
        }
    }
    println!("operations and how often: {kept:?}");
}

async fn handshakes(release: &str) {
    let write = |name: &str, recordings: &[Recording]| {
        for (number, recording) in recordings.iter().enumerate() {
            for (side, handshake, frames) in halves(recording) {
                keep(
                    "handshake",
                    &format!("{release}-{name}-{number}-{side}"),
                    handshake,
                );
                let _ = frames;
            }
        }
    };
    // Visible nodes, which tell each other about names and groups.
    let visible = Setting {
        hidden: false,
        ..SETTING
    };
    let mut pair = Pair::start(visible).await;
    for (name, talk) in VISIBLE_TALKS {
        let recording = pair.talk(talk);
        for (side, _, frames) in halves(&recording) {
            keep("framing", &format!("{release}-{name}-{side}"), frames);
        }
    }
    write("visible", &pair.to_b.recordings()[..1]);
    // Nodes that `b` does not take.
    pair.b.eval("net_kernel:allow(['c@127.0.0.1'])");
    pair.a.eval("net_kernel:connect_node(B)");
    write(
        "not-allowed",
        &pair.to_b.recordings()[VISIBLE_TALKS.len()..],
    );

    let mut pair = Pair::start(Setting {
        cookie_of_a: "another",
        ..SETTING
    })
    .await;
    pair.a.eval("net_kernel:connect_node(B)");
    write("cookie", &pair.to_b.recordings());

    // A node that gets its name from `b`.
    let mut pair = Pair::start(Setting {
        a: "undefined@127.0.0.1",
        ..SETTING
    })
    .await;
    println!("{}", pair.a.eval("{net_kernel:connect_node(B), node()}"));
    write("name-me", &pair.to_b.recordings());

    // Both connect at once: what `b` says is held back until `a` has begun too, whose name comes first.
    let manner = Manner {
        delay: Duration::from_millis(200),
        ..Manner::default()
    };
    let mut pair = Pair::start(Setting { manner, ..SETTING }).await;
    pair.b
        .eval("spawn(net_kernel, connect_node, ['a@127.0.0.1'])");
    println!("at once: {}", pair.a.eval("net_kernel:connect_node(B)"));
    pair.a.eval("timer:sleep(1000)");
    write("at-once-to-b", &pair.to_b.recordings());
    write("at-once-to-a", &pair.to_a.recordings());

    // `a` is gone and comes back before `b` has noticed.
    let manner = Manner {
        hold: true,
        ..Manner::default()
    };
    let mut pair = Pair::start(Setting { manner, ..SETTING }).await;
    assert_eq!(pair.a.eval("net_kernel:connect_node(B)"), "true");
    let killed = Command::new("kill")
        .args(["-KILL", &pair.a.pid().to_string()])
        .status();
    assert!(killed.unwrap().success());
    pair.a.kill();
    pair.a = Beam::start(
        &Epmd::elsewhere(pair.epmd.port),
        &Setting { manner, ..SETTING }.of_a(),
    );
    println!(
        "alive: {}",
        pair.a.eval("net_kernel:connect_node('b@127.0.0.1')")
    );
    write("alive", &pair.to_b.recordings()[1..]);
}
