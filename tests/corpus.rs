//! Every file of the fuzzers' corpus, and mutations of it, through what the fuzz targets run: the short
//! form of `scripts/fuzz`, for a stable toolchain and for CI.
#![cfg(all(feature = "discovery", feature = "node"))]

#[path = "support/seed.rs"]
mod random;

#[path = "../fuzz/entry.rs"]
mod entry;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rendez::Secret;
use rendez::discovery::multicast::codec::{Draft, Header, Key, Kind, Mention};
use rendez::discovery::multicast::dialects::libcluster::Gossip;
use rendez::discovery::multicast::dialects::nodefinder::Nodefinder;
use rendez::discovery::multicast::dialects::{gossip_cluster, peerage};

/// How many mutations of each file are tried.
const MUTATIONS: usize = 200;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

/// Runs the corpus of `target` through `entry`; answers how many inputs that were.
fn run(target: &str, entry: fn(&[u8])) -> usize {
    let mut files: Vec<_> = std::fs::read_dir(corpus(target))
        .expect("the corpus is part of the repository")
        .map(|file| file.expect("a file of the corpus").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    let mut inputs = 0;
    for file in files {
        let seed = std::fs::read(&file).expect("a readable file");
        // A failure has to say which input it was.
        let try_one = |input: &[u8]| {
            let result = std::panic::catch_unwind(|| entry(input));
            assert!(
                result.is_ok(),
                "{target} fails on a mutation of {}: {input:02x?}",
                file.display()
            );
        };
        try_one(&seed);
        // The same at every run: this is a test. Finding new inputs is the fuzzer's work.
        let mut rng = StdRng::seed_from_u64(random::seed(seed.len() as u64));
        let mut input = seed.clone();
        for n in 0..MUTATIONS {
            if n % 8 == 0 {
                input.clone_from(&seed);
            }
            mutate(&mut input, &mut rng);
            try_one(&input);
        }
        inputs += 1 + MUTATIONS;
    }
    inputs
}

/// Changes one thing, as a fuzzer would.
fn mutate(input: &mut Vec<u8>, rng: &mut StdRng) {
    let length = input.len();
    let at = rng.random_range(0..=length);
    match rng.random_range(0..6) {
        0 => input.truncate(at),
        1 => input.insert(at, rng.random()),
        2 if at < length => input[at] ^= 1 << rng.random_range(0..8),
        3 if at < length => input[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
        4 if at < length => {
            input.remove(at);
        }
        _ => {
            let again = input[at / 2..at].to_vec();
            input.extend_from_slice(&again);
            input.truncate(4096);
        }
    }
}

#[test]
fn announcements() {
    println!("{} inputs", run("announcement", entry::announcement));
}

#[test]
fn dialects() {
    println!("{} inputs", run("dialects", entry::dialects));
}

#[test]
fn epmd() {
    println!("{} inputs", run("epmd", entry::epmd));
}

#[test]
fn handshake() {
    println!("{} inputs", run("handshake", entry::handshake));
}

#[test]
fn framing() {
    println!("{} inputs", run("framing", entry::framing));
}

#[test]
fn etf() {
    println!("{} inputs", run("etf", entry::etf));
}

#[test]
fn control() {
    println!("{} inputs", run("control", entry::control));
}

/// What OTP wrote of every kind of term, OTP 25 in the older forms, and a text.
fn etf_seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    for (release, file) in [
        ("29", include_str!("data/etf-otp29.jsonl")),
        ("25", include_str!("data/etf-otp25.jsonl")),
    ] {
        for line in file.lines() {
            let vector: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let hex = vector["hex"].as_str().unwrap_or_default();
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
                .collect();
            let is_new = seeds.iter().all(|(_, other)| *other != bytes);
            if is_new && !bytes.is_empty() && bytes.len() <= 1024 {
                let name = vector["name"].as_str().expect("a name");
                seeds.push((format!("{name}_{release}"), bytes));
            }
        }
    }
    // Two equal maps as keys of one, 64 deep, with their pairs in different orders; and a list of conses.
    let mut maps = [vec![106], vec![106]];
    for _ in 0..64 {
        for (map, [first, second]) in maps.iter_mut().zip([*b"ab", *b"ba"]) {
            let pairs = [119, 1, first, 97, 0, 119, 1, second, 97, 0];
            *map = [&[116, 0, 0, 0, 3, 119, 1, b'x'][..], map, &pairs].concat();
        }
    }
    let [one, other] = maps;
    let both = [
        &[131, 116, 0, 0, 0, 2][..],
        &one,
        &[97, 0],
        &other,
        &[97, 0],
    ]
    .concat();
    seeds.push(("map_keys_equal".into(), both));
    let conses = [vec![131], [108, 0, 0, 0, 1, 97, 1].repeat(20), vec![106]].concat();
    seeds.push(("list_of_conses".into(), conses));
    let deep = [vec![131], [108, 0, 0, 0, 1].repeat(100), vec![106; 101]].concat();
    seeds.push(("list_deep".into(), deep));
    let text = "{'a b',-1.5e3,[$a|\"b\"],<<1,\"c\",5:3>>,#{k => fun m:f/1},16#ff} . % end";
    seeds.push(("text".into(), text.into()));
    seeds
}

/// One announcement in each form; for libcluster's secret, what is to be encrypted.
fn dialect_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let secret = Secret::new(entry::SECRET);
    let node = "shop@10.0.0.7".parse().expect("a name");
    let time = Duration::from_secs(1_795_249_545);
    let nodefinder = |hidden| Nodefinder::new(&secret, hidden).encode(&node, time);
    vec![
        ("libcluster", Gossip::new(None).encode(&node, [0; 16])),
        (
            "libcluster_old",
            b"heartbeat::\x83t\0\0\0\x01d\0\x04noded\0\x03a@b".to_vec(),
        ),
        (
            "libcluster_secret",
            Gossip::new(Some(&secret)).encode(&node, [1; 16]),
        ),
        ("peerage", peerage::encode(&node)),
        ("gossip_cluster", gossip_cluster::encode(&node)),
        ("nodefinder", nodefinder(false)),
        ("nodefinder_hidden", nodefinder(true)),
    ]
}

/// Writes the seeds that a fuzzer starts from: `cargo test --test corpus -- --ignored`.
#[test]
#[ignore = "writes into the repository"]
fn write_the_seeds() {
    let key = Key::derive(&Secret::new(entry::SECRET), "");
    let header = Header {
        kind: Kind::Hello,
        boot: 1 << 40,
        sequence: 1,
        time: Duration::from_secs(1_795_249_545),
        ttl: Duration::from_secs(30),
        known: 0,
        name: "shop@10.0.0.7",
    };
    let mention = |name| Mention {
        boot: 7,
        remaining: Duration::from_secs(20),
        name,
    };
    let draft = |header: Header<'_>, mentions: &[Mention<'_>]| {
        let mut draft = Draft::new(&key, &header);
        for mention in mentions {
            draft.mention(mention);
        }
        draft.seal()
    };
    let kind = |kind| Header { kind, ..header };
    let left = Mention {
        remaining: Duration::ZERO,
        ..mention("left@10.0.0.9")
    };
    let longest = format!("a@{}", "ö".repeat(253));
    let announcements = [
        ("hello", draft(header, &[])),
        ("look", draft(Header { name: "", ..header }, &[])),
        ("announce", draft(kind(Kind::Announce), &[mention("a@b")])),
        (
            "answer",
            draft(
                kind(Kind::Answer),
                &[mention("own@10.0.0.1"), mention("c@d"), left],
            ),
        ),
        ("goodbye", draft(kind(Kind::Goodbye), &[])),
        (
            "longest",
            draft(
                Header {
                    name: &longest,
                    ..kind(Kind::Announce)
                },
                &[mention(&longest)],
            ),
        ),
        (
            "invalid_name",
            draft(
                Header {
                    name: "no host",
                    ..kind(Kind::Announce)
                },
                &[mention("also no host")],
            ),
        ),
        (
            "own_name",
            draft(
                Header {
                    name: "own@10.0.0.1",
                    ..header
                },
                &[],
            ),
        ),
    ];
    let epmd: [(&str, &[u8]); 9] = [
        (
            "alive2_request",
            b"\0\x16x\x11\x51M\0\0\x06\0\x05\0\x04shop\0\x05extra",
        ),
        ("alive2_response", b"y\0\0\x01"),
        ("alive2_x_response", b"v\0\0\0\0\x01"),
        ("port_request", b"\0\x05zshop"),
        ("port_response", b"w\0\x11\x51M\0\0\x06\0\x05\0\x04shop\0\0"),
        ("port_refused", b"w\x01"),
        ("names_request", b"\0\x01n"),
        (
            "names_response",
            b"\0\0\x11\x11name shop at port 4000\nname odd at port x at port 4001\n",
        ),
        ("stop_request", b"\0\x05sshop"),
    ];
    let epmd = epmd.map(|(name, bytes)| (name, bytes.to_vec()));
    let dialects = dialect_seeds();
    for (target, seeds) in [
        ("announcement", &announcements[..]),
        ("dialects", &dialects[..]),
        ("epmd", &epmd[..]),
    ] {
        std::fs::create_dir_all(corpus(target)).unwrap();
        for (name, bytes) in seeds {
            std::fs::write(corpus(target).join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in etf_seeds() {
        std::fs::write(corpus("etf").join(name), bytes).unwrap();
    }
}
