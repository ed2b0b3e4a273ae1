//! The two sides against each other, against rubbish, and against what real nodes sent.

use super::acceptor::{self, Acceptor};
use super::initiator::{self, Agreed, Initiator};
use super::packet::{Complement, SendName, Status};
use super::*;
use crate::dist::error::ConnectError;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn identity(own: &str, cookie: impl AsRef<[u8]>) -> Identity {
    Identity::new(name(own), 7, Secret::new(cookie))
}

fn attempt(own: &str, cookie: impl AsRef<[u8]>, peer: &str) -> Attempt {
    Attempt {
        own: Claimed::Name(name(own)),
        creation: 6,
        flags: Flags::claimed(false),
        peer: name(peer),
        cookie: Secret::new(cookie),
        version: Version::V6,
        challenge: 0xdead_beef,
    }
}

/// What came of a handshake on both sides, and the letters of the packets in their order.
struct Outcome {
    connected: Option<Result<Agreed, HandshakeError>>,
    accepted: Option<Result<Peer, HandshakeError>>,
    letters: String,
}

fn run(attempt: Attempt, acceptor: Identity, verdict: Verdict, wanted: bool) -> Outcome {
    let (mut to_a, mut to_b) = (Vec::new(), Vec::new());
    let mut a = Initiator::start(attempt, &mut to_b);
    let mut b = Acceptor::start(acceptor, 42);
    let mut outcome = Outcome {
        connected: None,
        accepted: None,
        letters: String::new(),
    };
    while !to_a.is_empty() || !to_b.is_empty() {
        for packet in packets(&std::mem::take(&mut to_b)) {
            outcome.letters.push(packet[0].into());
            let mut step = b.handle(packet, &mut to_a);
            if let Ok(acceptor::Step::Judge(_)) = step {
                step = b.judged(verdict.clone(), &mut to_a);
            }
            match step {
                Ok(acceptor::Step::Done(peer)) => outcome.accepted = Some(Ok(*peer)),
                Ok(_) => {}
                Err(error) => drop(outcome.accepted.get_or_insert(Err(error))),
            }
        }
        for packet in packets(&std::mem::take(&mut to_a)) {
            outcome.letters.push(packet[0].into());
            let mut step = a.handle(packet, &mut to_b);
            if step == Ok(initiator::Step::Wanted) {
                step = a.still_wanted(wanted, &mut to_b);
            }
            match step {
                Ok(initiator::Step::Done(agreed)) => outcome.connected = Some(Ok(*agreed)),
                Ok(_) => {}
                Err(error) => drop(outcome.connected.get_or_insert(Err(error))),
            }
        }
    }
    outcome
}

#[test]
fn two_nodes_with_one_cookie_learn_who_the_other_is() {
    // Any bytes make a cookie.
    for cookie in [&b"c"[..], &[0, 246, 255]] {
        for verdict in [Verdict::Accept, Verdict::AcceptSimultaneous] {
            let done = run(
                attempt("a@h", cookie, "b@h"),
                identity("b@h", cookie),
                verdict,
                true,
            );
            assert_eq!(done.letters, "NsNra");
            let flags = Flags::claimed(false);
            let peer = |own: &str, creation| Peer {
                name: name(own),
                creation: Some(creation),
                hidden: true,
                flags,
            };
            let agreed = done.connected.unwrap().unwrap();
            assert_eq!((agreed.peer, agreed.named), (peer("b@h", 7), None));
            assert_eq!(done.accepted.unwrap().unwrap(), peer("a@h", 6));
        }
    }
}

#[test]
fn a_visible_node_is_not_hidden() {
    let mut visible = identity("b@h", "c");
    visible.visible = true;
    let done = run(attempt("a@h", "c", "b@h"), visible, Verdict::Accept, true);
    let (at_a, at_b) = (done.connected.unwrap(), done.accepted.unwrap());
    assert!(!at_a.unwrap().peer.hidden && at_b.unwrap().hidden);
}

#[test]
fn a_node_that_begins_with_version_5_completes_its_flags() {
    let mut old = attempt("a@h", "c", "b@h");
    old.version = Version::V5;
    old.flags |= Flags::SPAWN;
    let done = run(old, identity("b@h", "c"), Verdict::Accept, true);
    assert_eq!(done.letters, "nsNcra");
    let (at_a, at_b) = (done.connected.unwrap().unwrap(), done.accepted.unwrap());
    let at_b = at_b.unwrap();
    assert_eq!(at_b.creation, Some(6));
    // What both say, the upper half too.
    assert_eq!(at_a.peer.flags, at_b.flags);
    assert!(at_b.flags.contains(Flags::V4_NC));
}

#[test]
fn two_nodes_of_which_one_knows_version_5_only_stay_with_it() {
    let mut old = attempt("a@h", "c", "b@h");
    old.version = Version::V5;
    old.flags = Flags::required(Version::V5) | Flags::SPAWN;
    let done = run(old, identity("b@h", "c"), Verdict::Accept, true);
    assert_eq!(done.letters, "nsnra");
    let (at_a, at_b) = (done.connected.unwrap().unwrap(), done.accepted.unwrap());
    let (at_a, at_b) = (at_a.peer, at_b.unwrap());
    assert_eq!((at_a.creation, at_b.creation), (None, None));
    assert_eq!(at_a.flags, at_b.flags);
    assert_eq!(at_b.flags, Flags::required(Version::V5));
}

#[test]
fn another_cookie_is_told_on_the_side_that_can_tell() {
    let done = run(
        attempt("a@h", "c", "b@h"),
        identity("b@h", "d"),
        Verdict::Accept,
        true,
    );
    assert_eq!(done.accepted, Some(Err(HandshakeError::Cookie)));
    assert_eq!((done.connected, &*done.letters), (None, "NsNr"));
    // A peer that lets everyone in does not get in itself.
    let (mut out, mut back) = (Vec::new(), Vec::new());
    let mut a = Initiator::start(attempt("a@h", "c", "b@h"), &mut out);
    let mut b = Acceptor::start(identity("b@h", "c"), 1);
    b.handle(&out[2..], &mut back).unwrap();
    b.judged(Verdict::Accept, &mut back).unwrap();
    for packet in packets(&back) {
        a.handle(packet, &mut out).unwrap();
    }
    let ack = [&b"a"[..], &[0; 16]].concat();
    assert_eq!(a.handle(&ack, &mut out), Err(HandshakeError::Cookie));
    assert_eq!(a.handle(&ack, &mut out), Err(HandshakeError::Over));
}

#[test]
fn a_peer_has_a_cookie_of_its_own() {
    let mut own = identity("b@h", "everyone's");
    own.peer_cookies = Arc::new([(name("a@h"), Secret::new("a's"))].into());
    let with = |cookie: &str, from: &str| {
        let done = run(
            attempt(from, cookie, "b@h"),
            own.clone(),
            Verdict::Accept,
            true,
        );
        done.accepted.unwrap().is_ok()
    };
    assert!(with("a's", "a@h") && with("everyone's", "c@h"));
    assert!(!with("everyone's", "a@h") && !with("a's", "c@h"));
}

#[test]
fn of_two_attempts_one_goes_on() {
    let both = |verdict, wanted| {
        run(
            attempt("a@h", "c", "b@h"),
            identity("b@h", "c"),
            verdict,
            wanted,
        )
    };
    let done = both(Verdict::OursGoesFirst, true);
    assert_eq!(done.connected, Some(Err(HandshakeError::TheirsGoesFirst)));
    assert_eq!(done.accepted, Some(Err(HandshakeError::OursGoesFirst)));
    let done = both(Verdict::Refuse, true);
    assert_eq!(done.connected, Some(Err(HandshakeError::NotAllowed)));
    assert_eq!(done.accepted, Some(Err(HandshakeError::Refused)));
    let done = both(Verdict::Connected, true);
    assert_eq!(done.letters, "NssNra");
    assert!(done.connected.unwrap().is_ok() && done.accepted.unwrap().is_ok());
    let done = both(Verdict::Connected, false);
    assert_eq!(done.letters, "Nss");
    assert_eq!(done.connected, Some(Err(HandshakeError::Connected)));
    assert_eq!(done.accepted, Some(Err(HandshakeError::Connected)));
}

#[test]
fn a_node_without_a_name_is_given_one() {
    let mut asking = attempt("a@h", "c", "b@h");
    asking.own = Claimed::Host("h.example".into());
    let named = Named {
        name: name("K3@h.example"),
        creation: 99,
    };
    let verdict = Verdict::Name(named.clone());
    let done = run(asking.clone(), identity("b@h", "c"), verdict, true);
    let agreed = done.connected.unwrap().unwrap();
    assert!(agreed.peer.flags.contains(Flags::NAME_ME), "{agreed:?}");
    assert_eq!(agreed.named, Some(named));
    let peer = done.accepted.unwrap().unwrap();
    assert_eq!(peer.name, name("K3@h.example"));
    assert_eq!((peer.creation, peer.hidden), (Some(99), true));

    // One that gives none, and one that gives another than it was asked for.
    for verdict in [Verdict::Accept, Verdict::Refuse] {
        let done = run(asking.clone(), identity("b@h", "c"), verdict, true);
        assert_eq!(done.connected, Some(Err(HandshakeError::NotAllowed)));
    }
    let elsewhere = Named {
        name: name("K3@elsewhere"),
        creation: 99,
    };
    let verdict = Verdict::Name(elsewhere.clone());
    let done = run(asking, identity("b@h", "c"), verdict.clone(), true);
    let other = HandshakeError::OtherHost(elsewhere.name);
    assert_eq!(done.connected, Some(Err(other)));
    // Who has a name is not given one.
    let done = run(
        attempt("a@h", "c", "b@h"),
        identity("b@h", "c"),
        verdict,
        true,
    );
    assert_eq!(done.accepted.unwrap().unwrap().name, name("a@h"));
}

#[test]
fn what_a_peer_cannot_do_is_named() {
    let mut poor = attempt("a@h", "c", "b@h");
    poor.flags = Flags::claimed(false) - Flags::BIG_CREATION - Flags::MANDATORY_25_DIGEST;
    let done = run(poor, identity("b@h", "c"), Verdict::Accept, true);
    let missing = HandshakeError::Missing(Flags::BIG_CREATION);
    assert!(missing.to_string().ends_with(": BIG_CREATION"));
    assert_eq!(done.accepted, Some(Err(missing)));
    assert_eq!(done.connected, Some(Err(HandshakeError::NotAllowed)));
}

/// Every packet, cut off everywhere, and with each of its bytes changed.
#[test]
fn damage_has_a_name() {
    let mut asking = attempt("a@h", "c", "b@h");
    asking.own = Claimed::Host("h".into());
    let mut bytes = Vec::new();
    Initiator::start(asking, &mut bytes);
    Initiator::start(attempt("a@h", "c", "b@h"), &mut bytes);
    let mut old = attempt("a@h", "c", "b@h");
    old.version = Version::V5;
    Initiator::start(old, &mut bytes);
    let named = Status::Named {
        name: name("a@h"),
        creation: 7,
    };
    named.encode(&mut bytes);
    let (flags, creation) = (1, 2);
    Complement { flags, creation }.encode(&mut bytes);
    for packet in packets(&bytes) {
        let decode = |packet: &[u8]| {
            let results = [
                SendName::decode(packet).err(),
                Status::decode(packet).err(),
                packet::Challenge::decode(packet).err(),
                Complement::decode(packet).err(),
                packet::Reply::decode(packet).err(),
                packet::decode_ack(packet).err(),
            ];
            for error in results.iter().flatten() {
                assert!(!error.to_string().is_empty());
            }
            results.iter().flatten().count()
        };
        // A name and a challenge begin with the same letter.
        assert!(decode(packet) >= 4, "{packet:?}");
        for cut in 0..packet.len() {
            decode(&packet[..cut]);
            let mut other = packet.to_vec();
            other[cut] ^= 0xff;
            decode(&other);
        }
    }
    let refused = |packet: &[u8]| SendName::decode(packet).unwrap_err().to_string();
    assert!(refused(b"n\0\x04\0\0\0\0a@h").contains("version 4"));
    assert!(refused(b"N\0\0").contains("send_name has 3 bytes"));
    assert!(refused(b"?").contains("begins with '?' where send_name was due"));
    assert!(refused(&[&b"N"[..], &[0; 12], b"\0\x03a b"].concat()).contains("no node name"));
    assert!(packet::length([0x40, 0]).is_err() && packet::length([0, 0]).is_err());
    let status = Status::decode(b"sperhaps").unwrap_err();
    assert!(status.to_string().contains("\"perhaps\""));
    let long = Status::decode(&[b's'; 2000]).unwrap_err().to_string();
    assert!(long.len() < 100, "{long}");
}

#[test]
fn names_are_latin1_on_the_wire() {
    let mut bytes = Vec::new();
    Initiator::start(attempt("a@höst", "c", "b@h"), &mut bytes);
    assert!(bytes.ends_with(b"\0\x06a@h\xf6st"), "{bytes:?}");
    let read = SendName::decode(&bytes[2..]).unwrap();
    assert_eq!(read.name, Claimed::Name(name("a@höst")));
    // What comes after the name is for later versions.
    bytes.extend_from_slice(b"and more");
    assert_eq!(SendName::decode(&bytes[2..]), Ok(read));
}

/// What `a@127.0.0.1` said to `b@127.0.0.1` and heard from it, with the cookie `corpus`, on real nodes.
fn recorded() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/handshake");
    let mut talks = Vec::new();
    for file in std::fs::read_dir(corpus).expect("the corpus is part of the repository") {
        let sent = file.unwrap().path();
        let name = sent.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some(talk) = name.strip_suffix("-sent") {
            let answered = std::fs::read(sent.with_file_name(format!("{talk}-answered")));
            talks.push((
                talk.to_owned(),
                std::fs::read(&sent).unwrap(),
                answered.unwrap_or_default(),
            ));
        }
    }
    talks
}

/// The digests that OTP 25, 27 and 29 sent are those that are computed here, and their packets are written here as
/// they wrote them.
#[test]
fn real_nodes_say_what_is_said_here() {
    let cookie = Secret::new("corpus");
    let mut proved = 0;
    for (talk, sent, answered) in recorded() {
        let (mut theirs, mut ours) = (None, None);
        for packet in packets(&answered) {
            let again = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut bytes = Vec::new();
                write(&mut bytes);
                assert_eq!(&bytes[2..], packet, "{talk}");
            };
            match packet[0] {
                b's' => {
                    let status = Status::decode(packet).unwrap();
                    again(&|out| status.encode(out));
                }
                b'N' => {
                    let mut challenge = packet::Challenge::decode(packet).unwrap();
                    theirs = Some(challenge.challenge);
                    // They sent the digest only, we read what it stands for.
                    challenge.flags = Flags::from_bits_retain(u64::from_be_bytes(
                        *packet[1..].first_chunk().unwrap(),
                    ));
                    again(&|out| challenge.encode(out));
                }
                _ => {}
            }
        }
        for packet in packets(&sent) {
            match packet[0] {
                b'N' => drop(SendName::decode(packet).unwrap()),
                b's' => assert_eq!(Status::decode(packet), Ok(Status::True)),
                _ => {
                    let reply = packet::Reply::decode(packet).unwrap();
                    ours = Some(reply.challenge);
                    let right = Digest::answer(&cookie, theirs.expect("a challenge"));
                    // One of the talks is about another cookie.
                    assert_eq!(
                        reply.digest.matches(&right),
                        !talk.contains("cookie"),
                        "{talk}"
                    );
                }
            }
        }
        let ack = packets(&answered).find(|packet| packet[0] == b'a');
        if let (Some(ack), Some(ours)) = (ack, ours) {
            let digest = packet::decode_ack(ack).unwrap();
            assert!(digest.matches(&Digest::answer(&cookie, ours)), "{talk}");
            proved += 1;
        }
    }
    assert!(proved >= 3, "{proved}");
}

proptest! {
    #[test]
    fn no_packets_panic(
        sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6),
        letters in "[nNscra]{6}",
    ) {
        let mut out = Vec::new();
        let mut a = Initiator::start(attempt("a@h", "c", "b@h"), &mut out);
        let mut b = Acceptor::start(identity("b@h", "c"), 42);
        for (mut packet, letter) in sent.into_iter().zip(letters.bytes()) {
            if let Some(first) = packet.first_mut() {
                *first = letter;
            }
            let _ = a.handle(&packet, &mut out);
            let _ = a.still_wanted(true, &mut out);
            if let Ok(acceptor::Step::Judge(_)) = b.handle(&packet, &mut out) {
                let _ = b.judged(Verdict::Connected, &mut out);
            }
        }
    }
}

async fn connect_to(
    io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    own: &Identity,
    peer: &str,
) -> Result<Peer, ConnectError> {
    let done = connect(io, Lengths::Two, own, &name(peer), Version::V6, || true).await;
    done.map(|(_, peer)| peer)
}

async fn both(
    client: &Identity,
    server: &Identity,
    verdict: Verdict,
) -> (Result<Peer, ConnectError>, Result<Peer, String>) {
    let (near, far) = duplex(64);
    let accepted = async {
        let accepted = accept(far, Lengths::Two, server, |_| verdict).await;
        let accepted = accepted.map(|(_, peer)| peer);
        accepted.map_err(|error| error.to_string())
    };
    tokio::join!(connect_to(near, client, server.name.as_str()), accepted)
}

#[tokio::test]
async fn over_a_stream() {
    let (client, server) = (identity("a@h", "c"), identity("b@h", "c"));
    let (connected, accepted) = both(&client, &server, Verdict::Connected).await;
    assert_eq!(connected.unwrap().name, server.name);
    assert_eq!(accepted.unwrap().name, client.name);

    let (connected, accepted) = both(&client, &identity("b@h", "d"), Verdict::Accept).await;
    let peer = server.name.clone();
    assert_eq!(connected, Err(ConnectError::Cookie { peer }));
    assert_eq!(accepted, Err("a@h: it has another cookie".into()));

    let (connected, _) = both(&client, &server, Verdict::OursGoesFirst).await;
    assert!(matches!(connected, Err(ConnectError::Simultaneous { .. })));

    let (near, far) = duplex(64);
    let (connected, _) = tokio::join!(
        connect_to(near, &client, "c@h"),
        accept(far, Lengths::Two, &server, |_| Verdict::Accept)
    );
    let found = "b@h".to_owned();
    let peer = name("c@h");
    assert_eq!(connected, Err(ConnectError::OtherNode { peer, found }));

    let (near, far) = duplex(64);
    let named = Named {
        name: name("X@h"),
        creation: 5,
    };
    let verdict = Verdict::Name(named.clone());
    let (asked, _) = tokio::join!(
        ask_for_name(near, Lengths::Two, &client, &server.name),
        accept(far, Lengths::Two, &server, |_| verdict)
    );
    assert_eq!(asked.unwrap().2, named);
}

/// What the peer at the other end of a client's stream says, and what the client makes of it.
async fn client_hears(said: &[u8]) -> (ConnectError, Vec<u8>) {
    let (near, mut far) = duplex(1024);
    let client = identity("a@h", "c");
    let heard = async {
        let mut name = [0; 2 + 1 + 8 + 4 + 2 + 3];
        far.read_exact(&mut name).await.unwrap();
        far.write_all(said).await.unwrap();
        far.shutdown().await.unwrap();
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let (connected, heard) = tokio::join!(connect_to(near, &client, "b@h"), heard);
    (connected.unwrap_err(), heard)
}

#[tokio::test]
async fn what_a_peer_that_breaks_off_meant() {
    let (error, _) = client_hears(b"").await;
    let text = error.to_string();
    assert!(
        text.contains("closed the connection where send_status was due"),
        "{text}"
    );
    let (error, _) = client_hears(b"\0\x0csnot_allowed").await;
    assert!(matches!(error, ConnectError::NotAllowed { .. }), "{error}");
    let (error, _) = client_hears(&[0x15, 3, 3, 0, 2, 2, 40]).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
    let (error, _) = client_hears(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(error.to_string().contains("does not speak"), "{error}");
    // Hanging up after the name was answered, before any challenge, is not about the cookie.
    let (error, _) = client_hears(b"\0\x03sok").await;
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error}");
    let mut said = b"\0\x03sok".to_vec();
    let challenge = packet::Challenge {
        version: Version::V6,
        flags: Flags::claimed(true),
        challenge: 1,
        creation: Some(1),
        name: "b@h".into(),
    };
    challenge.encode(&mut said);
    let (error, heard) = client_hears(&said).await;
    assert!(matches!(error, ConnectError::Cookie { .. }), "{error}");
    assert_eq!(heard.len(), 2 + 1 + 4 + 16);
}

#[tokio::test]
async fn an_earlier_connection_that_the_peer_still_has_is_given_up() {
    let (_, heard) = client_hears(b"\0\x06salive").await;
    assert_eq!(heard, b"\0\x05strue");
    // Or not, when the peer has connected meanwhile.
    let (near, mut far) = duplex(1024);
    far.write_all(b"\0\x06salive").await.unwrap();
    let (own, peer) = (identity("a@h", "c"), name("b@h"));
    let connected = connect(near, Lengths::Two, &own, &peer, Version::V6, || false).await;
    assert!(matches!(connected, Err(ConnectError::Simultaneous { .. })));
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert!(heard.ends_with(b"\0\x06sfalse"), "{heard:?}");
}

#[tokio::test]
async fn a_stranger_that_sends_rubbish_is_turned_away() {
    for (rubbish, why) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "does not speak Erlang"),
        (&[0x16, 3, 1, 1, 0, 1], "speaks TLS"),
        (&[0, 1, b'n'], "send_name has 1 bytes"),
        (&[0xff; 64], "does not speak Erlang"),
        (b"", "closed the connection where send_name was due"),
        (b"\0\x08sok", "closed the connection"),
    ] {
        let (mut near, far) = duplex(1024);
        near.write_all(rubbish).await.unwrap();
        near.shutdown().await.unwrap();
        let server = identity("b@h", "c");
        let refused = accept(far, Lengths::Two, &server, |_| Verdict::Accept).await;
        let error = refused.map(drop).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn the_cookie_is_not_shown() {
    let mut own = identity("a@h", "monster");
    own.peer_cookies = Arc::new([(name("b@h"), Secret::new("monster"))].into());
    let mut out = Vec::new();
    let machine = Initiator::start(attempt("a@h", "monster", "b@h"), &mut out);
    let shown = format!("{own:?}{machine:?}{:?}", Acceptor::start(own.clone(), 1));
    assert!(!shown.contains("monster"), "{shown}");
}
