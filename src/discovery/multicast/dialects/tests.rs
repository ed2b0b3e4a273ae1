use super::*;
use crate::cluster::Accept;
use crate::discovery::Observation;
use crate::discovery::multicast::announcer::Now;
use crate::secret::Secret;

const VECTORS: &str = include_str!("../../../../tests/data/announcements.jsonl");

/// The time of nodefinder's announcements here.
const TIME: Duration = Duration::from_secs(1_795_249_545);

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn gossip(secret: Option<&str>) -> Codec {
    Codec::Libcluster(libcluster::Gossip::new(secret.map(Secret::new).as_ref()))
}

fn nodefinder(cookie: &str, hidden: bool) -> Codec {
    Codec::Nodefinder(nodefinder::Nodefinder::new(&Secret::new(cookie), hidden))
}

#[test]
fn every_vector_decodes_to_the_name_that_it_carries() {
    let mut read = [0; 4];
    for line in VECTORS.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| vector[key].as_str();
        let (index, codec) = match text("dialect").unwrap() {
            "libcluster-gossip" => (0, gossip(text("secret"))),
            "peerage" => (1, Codec::Peerage),
            "nodefinder-5" => (2, nodefinder(text("cookie").unwrap(), false)),
            "gossip-cluster" => (3, Codec::GossipCluster),
            other => panic!("the vectors have another dialect, {other}"),
        };
        let unix = Duration::from_secs(vector["unix"].as_u64().unwrap_or(0));
        let heard = codec.decode(unix, &bytes(text("hex").unwrap())).unwrap();
        assert_eq!(heard.node.as_str(), text("node").unwrap(), "{line}");
        read[index] += 1;
    }
    assert!(read.iter().all(|&count| count > 0), "{read:?}");
}

#[test]
fn what_we_write_is_what_the_libraries_write() {
    let node = name("alpha@127.0.0.1");
    let mut compared = 0;
    for line in VECTORS.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| vector[key].as_str();
        let datagram = bytes(text("hex").unwrap());
        let codec = match (text("dialect").unwrap(), text("otp")) {
            // What OTP 26 and later write; we do not write the older form.
            ("libcluster-gossip", Some("27")) => gossip(None),
            ("gossip-cluster", Some("27")) => Codec::GossipCluster,
            ("peerage", _) => Codec::Peerage,
            ("nodefinder-5", _) if text("cookie") == Some("vectors") => {
                nodefinder("vectors", false)
            }
            _ => continue,
        };
        assert_eq!(codec.encode(&node, TIME, [0; 16]), datagram, "{line}");
        compared += 1;
    }
    assert_eq!(compared, 4);
}

/// Made by Erlang's `crypto`, as nodefinder 1.8.0, 1.7.3 and 1.7.2 make them, for the cookie `vectors`.
const OLDER: [(&str, &str); 5] = [
    (
        "4",
        "45524c414e472f4e4f444546494e444552203420c33f2a6cb0ff76e7273bafa3ac62a2afa04d53e5849098af8819d69189676ef320000000006b01558920616c706861403132372e302e302e31",
    ),
    (
        "3, of OTP 25 and before",
        "45524c414e472f4e4f444546494e4445522033204a9ad9f485e9892bf9d24e5e539008bd0d53a67bccdbc5d7c3d97686a5a7097020000000006b01558920616c706861403132372e302e302e31",
    ),
    (
        "3, of OTP 26 and later",
        "45524c414e472f4e4f444546494e444552203320eb6c9a8514267a23aedbfd22bfe981aeb5370ab22c6f52b127a39b3ad50bdf4720000000006b01558920616c706861403132372e302e302e31",
    ),
    (
        "2, of OTP 25 and before",
        "444953434f56455256322058c8fc476473de0ba14030120860d4f8fc742aa2200000000ee475d18920616c706861403132372e302e302e31",
    ),
    (
        "2, of OTP 26 and later",
        "444953434f5645525632202d1858bc08282ab151c6cdb722f99e1899163fc3200000000ee475d18920616c706861403132372e302e302e31",
    ),
];

#[test]
fn the_older_forms_of_nodefinder_are_read() {
    for (version, hex) in OLDER {
        let heard = nodefinder("vectors", false).decode(TIME, &bytes(hex));
        assert_eq!(heard.unwrap().node.as_str(), "alpha@127.0.0.1", "{version}");
        let other = nodefinder("monster", false).decode(TIME, &bytes(hex));
        assert_eq!(other, Err(Refused::Forged), "{version}");
    }
}

#[test]
fn nodefinder_believes_what_is_at_most_300_s_off() {
    let codec = nodefinder("vectors", false);
    let datagram = codec.encode(&name("a@b"), TIME, [0; 16]);
    let second = Duration::from_secs(1);
    for (off, heard) in [
        (TIME, Ok(0)),
        (TIME + 300 * second, Ok(300)),
        (TIME - 300 * second, Ok(0)),
        (TIME + 301 * second, Err(Refused::Clock)),
        (TIME - 301 * second, Err(Refused::Clock)),
    ] {
        let age = codec
            .decode(off, &datagram)
            .map(|heard| heard.age.as_secs());
        assert_eq!(age, heard, "{off:?}");
    }
    let hex = OLDER[3].1;
    let late = codec.decode(TIME + 301 * second, &bytes(hex));
    assert_eq!(late, Err(Refused::Clock), "its seconds are gregorian");
}

#[test]
fn one_who_wants_hidden_connections_makes_them_itself() {
    let hidden = nodefinder("vectors", true).encode(&name("a@b"), TIME, [0; 16]);
    let visible = nodefinder("vectors", false).encode(&name("a@b"), TIME, [0; 16]);
    let differs: Vec<_> = (0..hidden.len())
        .filter(|&at| hidden[at] != visible[at])
        .collect();
    assert_eq!(
        differs,
        [20 + 32 + 1 + 8 + 1],
        "only the byte after the time says it"
    );
    assert_eq!((visible[62], hidden[62]), (1, 2));
    assert_eq!(
        nodefinder("vectors", false).decode(TIME, &hidden),
        Err(Refused::Hidden)
    );
    assert!(nodefinder("vectors", true).decode(TIME, &hidden).is_ok());
}

#[test]
fn what_is_written_is_read_back_by_its_dialect_alone() {
    let long = name(&format!("a@{}", "\u{f6}".repeat(253)));
    let codecs = [
        gossip(None),
        gossip(Some("open sesame")),
        gossip(Some("another")),
        Codec::Peerage,
        nodefinder("vectors", false),
        nodefinder("another", false),
        Codec::GossipCluster,
    ];
    for node in [name("a@b"), name("alpha@127.0.0.1"), long] {
        for (written, writer) in codecs.iter().enumerate() {
            for random in [[0; 16], [7; 16], [255; 16]] {
                let datagram = writer.encode(&node, TIME, random);
                assert!(datagram.len() <= MAX_DATAGRAM);
                for (read, reader) in codecs.iter().enumerate() {
                    let heard = reader.decode(TIME, &datagram).map(|heard| heard.node);
                    if read == written {
                        assert_eq!(heard.as_ref(), Ok(&node));
                    } else {
                        assert!(heard.is_err(), "{writer:?} read by {reader:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn each_refusal_has_its_cause() {
    let sealed = gossip(Some("s")).encode(&name("a@b"), TIME, [1; 16]);
    let mut bent = sealed.clone();
    bent[20] ^= 1;
    let nodefinder = nodefinder("vectors", false);
    let found = nodefinder.encode(&name("a@b"), TIME, [0; 16]);
    let at = |at: usize| {
        let mut bent = found.clone();
        bent[at] ^= 1;
        bent
    };
    let oversized = vec![b'x'; MAX_DATAGRAM + 1];
    for (codec, datagram, why) in [
        (Codec::Peerage, b"Peer:".to_vec(), Refused::Malformed),
        (Codec::Peerage, b"Peer:no host".to_vec(), Refused::Malformed),
        (Codec::Peerage, b"peer:a@b".to_vec(), Refused::Foreign),
        (Codec::Peerage, oversized, Refused::Oversized),
        (
            Codec::GossipCluster,
            b"heartbeat::".to_vec(),
            Refused::Malformed,
        ),
        (
            gossip(None),
            b"heartbeat::\x83".to_vec(),
            Refused::Malformed,
        ),
        (gossip(None), sealed.clone(), Refused::Foreign),
        (gossip(Some("t")), sealed.clone(), Refused::Forged),
        (gossip(Some("s")), bent, Refused::Forged),
        (gossip(Some("s")), sealed[..40].to_vec(), Refused::Foreign),
        (gossip(Some("s")), sealed[..16].to_vec(), Refused::Foreign),
        (nodefinder.clone(), at(0), Refused::Foreign),
        (nodefinder.clone(), at(30), Refused::Forged),
        (nodefinder.clone(), at(55), Refused::Forged),
        (nodefinder.clone(), at(64), Refused::Forged),
        (nodefinder.clone(), at(52), Refused::Malformed),
        (nodefinder.clone(), found[..60].to_vec(), Refused::Malformed),
    ] {
        assert_eq!(
            codec.decode(TIME, &datagram),
            Err(why),
            "{codec:?} {datagram:?}"
        );
    }
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", gossip(Some("s"))), "Libcluster(..)");
    assert_eq!(format!("{:?}", nodefinder("s", false)), "Nodefinder(..)");
}

// The herald.

fn at(seconds: f64) -> Now {
    Now {
        monotonic: Duration::from_secs_f64(seconds),
        unix: TIME + Duration::from_secs_f64(seconds),
    }
}

fn libcluster(secret: Option<&str>) -> Dialect {
    Dialect::Libcluster {
        secret: secret.map(Secret::new),
        broadcast_only: false,
    }
}

fn herald(dialect: &Dialect, codec: Codec, accept: Accept) -> Herald {
    Herald::new(dialect, codec, Some(name("own@h")), accept, 1, at(0.0))
}

fn seen(herald: &mut Herald) -> Vec<(String, u64)> {
    std::iter::from_fn(|| herald.poll_observation())
        .map(|observation| match observation {
            Observation::Seen(node, ttl) => (node.to_string(), ttl.as_secs()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn it_announces_at_once_and_then_as_the_others_do() {
    for (dialect, codec, in_a_minute) in [
        (libcluster(None), gossip(None), 14..=35),
        (Dialect::Peerage, Codec::Peerage, 11..=23),
        (
            Dialect::Nodefinder { hidden: false },
            nodefinder("c", false),
            6..=10,
        ),
        (Dialect::GossipCluster, Codec::GossipCluster, 56..=70),
    ] {
        let mut herald = herald(&dialect, codec, Accept::everything());
        let mut sent = Vec::new();
        let mut now = at(0.0);
        while now.monotonic < Duration::from_secs(60) {
            herald.handle_wake(now);
            while herald.poll_transmit().is_some() {
                sent.push(now.monotonic);
            }
            now = at(herald.next_wake().unwrap().as_secs_f64() + 1e-6);
        }
        assert_eq!(sent[0], Duration::ZERO);
        assert!(sent[2] < Duration::from_millis(500), "{sent:?}");
        assert!(
            in_a_minute.contains(&sent.len()),
            "{dialect:?}: {}",
            sent.len()
        );
        assert_eq!(herald.counters().sent, sent.len() as u64);
    }
}

#[test]
fn a_name_holds_for_a_while_and_is_told_again_before_it_ends() {
    let mut herald = herald(&libcluster(None), gossip(None), Accept::everything());
    let other = gossip(None).encode(&name("a@h"), TIME, [0; 16]);
    let own = gossip(None).encode(&name("own@h"), TIME, [0; 16]);
    herald.handle_datagram(at(1.0), &own);
    herald.handle_datagram(at(1.0), &other);
    assert_eq!(seen(&mut herald), [("a@h".to_owned(), 30)]);
    herald.handle_datagram(at(2.0), &other);
    assert_eq!(seen(&mut herald), [], "no news");
    herald.handle_datagram(at(12.0), &other);
    assert_eq!(seen(&mut herald), [("a@h".to_owned(), 30)]);
    let counters = herald.counters();
    assert_eq!((counters.heard, counters.own), (3, 1));
    // Expired, and heard again.
    herald.handle_wake(at(42.1));
    herald.handle_datagram(at(43.0), &other);
    assert_eq!(seen(&mut herald), [("a@h".to_owned(), 30)]);
}

#[test]
fn a_replay_makes_nobody_live_longer() {
    let dialect = Dialect::Nodefinder { hidden: false };
    let codec = nodefinder("c", false);
    let mut herald = herald(&dialect, codec.clone(), Accept::everything());
    let datagram = codec.encode(&name("a@h"), TIME, [0; 16]);
    herald.handle_datagram(at(0.0), &datagram);
    assert_eq!(seen(&mut herald), [("a@h".to_owned(), 3600)]);
    herald.handle_datagram(at(299.0), &datagram);
    assert_eq!(seen(&mut herald), []);
    herald.handle_datagram(at(301.0), &datagram);
    assert_eq!(herald.counters().clock, 1);
}

#[test]
fn names_that_nobody_vouches_for_are_limited_and_those_not_accepted_cost_nothing() {
    let accept = Accept::new(["shop-*"]).unwrap();
    let mut herald = herald(&Dialect::Peerage, Codec::Peerage, accept);
    for n in 0..50_000 {
        herald.handle_datagram(at(1.0), format!("Peer:forged{n}@h").as_bytes());
        herald.handle_datagram(at(1.0), format!("Peer:shop-{n}@h").as_bytes());
    }
    let counters = herald.counters();
    assert_eq!(counters.not_accepted, 50_000);
    assert_eq!((counters.heard, counters.rate_limited), (2000, 48_000));
    assert_eq!(seen(&mut herald).len(), 2000);
    // Those that are known are heard on, and one more comes in every ten seconds.
    herald.handle_datagram(at(21.5), b"Peer:shop-7@h");
    for n in 0..10 {
        herald.handle_datagram(at(21.5), format!("Peer:shop-late{n}@h").as_bytes());
    }
    assert_eq!(herald.counters().heard, 2000 + 1 + 2);
}

#[test]
fn authenticated_names_are_bounded_too() {
    let codec = gossip(Some("s"));
    let mut herald = herald(&libcluster(Some("s")), codec.clone(), Accept::everything());
    for n in 0..20_010 {
        let datagram = codec.encode(&name(&format!("a{n}@h")), TIME, [0; 16]);
        herald.handle_datagram(at(1.0), &datagram);
    }
    assert_eq!(
        (herald.counters().heard, herald.counters().full),
        (20_000, 10)
    );
}

#[test]
fn one_that_only_listens_says_nothing() {
    let mut herald = Herald::new(
        &Dialect::Peerage,
        Codec::Peerage,
        None,
        Accept::everything(),
        1,
        at(0.0),
    );
    herald.refresh(at(1.0));
    assert_eq!((herald.poll_transmit(), herald.next_wake()), (None, None));
    herald.handle_datagram(at(1.0), b"Peer:a@h");
    assert_eq!(seen(&mut herald), [("a@h".to_owned(), 42)]);
}

#[test]
fn one_that_is_alone_says_why() {
    let codec = gossip(Some("s"));
    let mut herald = herald(&libcluster(Some("s")), codec, Accept::everything());
    assert_eq!(herald.complaint(at(1.0)), None, "it has hardly begun");
    let complaint = herald.complaint(at(3.0)).unwrap();
    assert!(complaint.contains("do not come back"), "{complaint}");
    let forged = gossip(Some("t")).encode(&name("a@h"), TIME, [0; 16]);
    herald.handle_datagram(at(3.0), &forged);
    let complaint = herald.complaint(at(4.0)).unwrap();
    assert!(complaint.contains("libcluster_secret"), "{complaint}");
}

// The configuration.

#[test]
fn who_is_warned_of() {
    for (dialect, warned) in [
        (libcluster(None), true),
        (libcluster(Some("s")), false),
        (Dialect::Peerage, true),
        (Dialect::Nodefinder { hidden: false }, false),
        (Dialect::GossipCluster, true),
    ] {
        let warning = DialectConfig::new(dialect.clone()).warning();
        assert_eq!(warning.is_some(), warned, "{dialect:?}");
        assert!(warning.is_none_or(|text| text.contains("accept")));
    }
}

#[test]
fn each_option_that_is_off_is_named() {
    let context = |cookie: Option<&str>| Context {
        own: None,
        cookie: cookie.map(Secret::new),
    };
    let with = |dialect: &Dialect, group: &str| DialectConfig {
        groups: vec![group.parse().unwrap()],
        ..DialectConfig::new(dialect.clone())
    };
    let broadcast = Dialect::Libcluster {
        secret: None,
        broadcast_only: true,
    };
    for (config, says) in [
        (with(&Dialect::Peerage, "10.0.0.1:1"), "peerage_group"),
        (with(&Dialect::Peerage, "230.1.1.1:0"), "peerage_group"),
        (with(&broadcast, "233.252.1.32:1"), "broadcast"),
        (
            DialectConfig::new(Dialect::Nodefinder { hidden: false }),
            "cookie",
        ),
    ] {
        let error = config.codec(&context(None)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    for dialect in [
        broadcast,
        libcluster(None),
        Dialect::Peerage,
        Dialect::Nodefinder { hidden: true },
        Dialect::GossipCluster,
    ] {
        DialectConfig::new(dialect)
            .codec(&context(Some("c")))
            .unwrap();
    }
}
