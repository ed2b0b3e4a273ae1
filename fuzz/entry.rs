//! What every fuzz target does with its input. `tests/corpus.rs` calls the same functions, so that what
//! the fuzzer once found stays found on a stable toolchain.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rendez::Secret;
use rendez::cluster::Accept;
use rendez::discovery::multicast::announcer::{Announcer, Now};
use rendez::discovery::multicast::codec::{self, Draft, Key};
use rendez::discovery::multicast::dialects::libcluster::Gossip;
use rendez::discovery::multicast::dialects::nodefinder::Nodefinder;
use rendez::discovery::multicast::dialects::{Codec, Dialect, Herald, term};
use rendez::dist::Flags;
use rendez::dist::channel::{Batch, ChannelOptions, Decoder, Malformed, Outbox, Urgency};
use rendez::dist::control::Control;
use rendez::dist::handshake::packet::{self, Challenge, Complement, Reply, SendName, Status};
use rendez::dist::handshake::{
    Acceptor, Attempt, Claimed, Digest, Identity, Initiator, Named, Verdict, Version, acceptor,
    initiator, packets,
};
use rendez::epmd::codec::{AliveResponse, NamesDecoder, PortResponse, Request};
use rendez::etf;

/// The secret of the corpus.
pub const SECRET: &str = "corpus";

/// The bytes before the code that authenticates an announcement.
const MAC: usize = 32;

/// A datagram from the network, as it is and with the code that makes it authentic.
///
/// The second is what a member with a fault of its own could send; the fuzzer could never guess it.
pub fn announcement(data: &[u8]) {
    let key = Key::derive(&Secret::new(SECRET), "");
    datagram(&key, data);
    let body = &data[..data.len().saturating_sub(MAC)];
    datagram(&key, &key.authenticate(body));
}

fn datagram(key: &Key, data: &[u8]) {
    let read = codec::decode(key, data);
    if let Ok(announcement) = &read {
        // There is one way to say a thing: what was read makes the same bytes.
        let mut draft = Draft::new(key, &announcement.header);
        for mention in announcement.mentions {
            assert!(draft.mention(&mention), "what came in a datagram fits one");
        }
        assert_eq!(draft.seal(), data);
    }
    let _ = codec::peek_sender(data);
    listener(
        key,
        data,
        read.map_or(Duration::from_secs(1000), |a| a.header.time),
    );
}

/// A node that hears the datagram, again and again, at a time that makes it believable.
fn listener(key: &Key, data: &[u8], unix: Duration) {
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut now = Now {
        monotonic: Duration::from_secs(1),
        unix,
    };
    let own = "own@10.0.0.1".parse().ok();
    let mut announcer = Announcer::new(key.clone(), own, Duration::from_secs(5), 1, 1, now);
    for wait in [0, 1, 30, 400, 100_000] {
        now.monotonic += Duration::from_secs(wait);
        announcer.handle_datagram(now, source, data);
        announcer.handle_wake(now);
        while let Some(sent) = announcer.poll_transmit() {
            assert!(
                codec::decode(key, &sent).is_ok(),
                "what we send can be read"
            );
        }
        while announcer.poll_observation().is_some() {}
        let _ = announcer.complaint(now);
        if let Some(wake) = announcer.next_wake() {
            assert!(wake >= Duration::from_secs(1));
        }
    }
    announcer.stop(now);
}

/// A datagram in each of the dialects, and one that a node with the secret and the right clock could send.
pub fn dialects(data: &[u8]) {
    let unix = Duration::from_secs(1_795_249_545);
    let secret = Secret::new(SECRET);
    let codecs = [
        (plain_libcluster(), Codec::Libcluster(Gossip::new(None))),
        (
            plain_libcluster(),
            Codec::Libcluster(Gossip::new(Some(&secret))),
        ),
        (Dialect::Peerage, Codec::Peerage),
        (
            Dialect::Nodefinder { hidden: false },
            Codec::Nodefinder(Nodefinder::new(&secret, false)),
        ),
        (Dialect::GossipCluster, Codec::GossipCluster),
    ];
    let sealed = Gossip::new(Some(&secret)).seal(data, [7; 16]);
    for (dialect, codec) in codecs {
        for datagram in [data, &sealed] {
            if let Ok(heard) = codec.decode(unix, datagram) {
                let again = codec.encode(&heard.node, unix, [7; 16]);
                assert_eq!(
                    codec
                        .decode(unix, &again)
                        .expect("what we write can be read")
                        .node,
                    heard.node
                );
            }
            let mut now = Now {
                monotonic: Duration::from_secs(1),
                unix,
            };
            let own = "own@10.0.0.1".parse().ok();
            let mut herald =
                Herald::new(&dialect, codec.clone(), own, Accept::everything(), 1, now);
            for wait in [0, 1, 30, 4000] {
                now.monotonic += Duration::from_secs(wait);
                herald.handle_datagram(now, datagram);
                herald.handle_wake(now);
                while let Some(sent) = herald.poll_transmit() {
                    codec.decode(unix, &sent).expect("what we send can be read");
                }
                while herald.poll_observation().is_some() {}
                let _ = herald.complaint(now);
            }
        }
    }
    let _ = (term::atom(data), term::node_of_map(data));
}

fn plain_libcluster() -> Dialect {
    Dialect::Libcluster {
        secret: None,
        broadcast_only: false,
    }
}

/// What an EPMD server reads and what an EPMD client reads, whole and in pieces.
pub fn epmd(data: &[u8]) {
    if let Some(header) = data.first_chunk::<2>() {
        let _ = Request::body_length(*header);
    }
    for body in [data, data.get(2..).unwrap_or_default()] {
        if let Ok(request) = Request::decode(body) {
            let encoded = request.encode().expect("what was read can be written");
            assert_eq!(
                Request::decode(&encoded[2..]).expect("what was written can be read"),
                request
            );
        }
    }
    let _ = AliveResponse::decode(data);
    if let Ok(Some(response)) = PortResponse::decode(data) {
        let encoded = response.encode().expect("what was read can be written");
        assert_eq!(PortResponse::decode(&encoded), Ok(Some(response)));
    }
    let mut whole = NamesDecoder::new();
    let mut pieces = NamesDecoder::new();
    let _ = whole.push(data);
    for piece in data.chunks(7) {
        let _ = pieces.push(piece);
    }
    assert_eq!(
        whole.finish(),
        pieces.finish(),
        "however it is cut into pieces"
    );
}

/// What a peer says until the handshake is over, to either side: packets with their length in two bytes.
pub fn handshake(data: &[u8]) {
    let packets: Vec<&[u8]> = packets(data).collect();
    for packet in &packets {
        written_again(packet);
    }
    // As it is, and as somebody with the cookie could send it, which the fuzzer could never guess.
    let proved = packets.iter().map(|packet| with_right_digest(packet));
    let proved: Vec<Vec<u8>> = proved.collect();
    let proved: Vec<&[u8]> = proved.iter().map(Vec::as_slice).collect();
    for packets in [&packets, &proved] {
        for verdict in 0..6 {
            knock(packets, verdict);
        }
        for version in [Version::V5, Version::V6] {
            answer(packets, Claimed::Name(own_name()), version);
        }
        answer(packets, Claimed::Host("127.0.0.1".into()), Version::V6);
    }
}

/// The challenge of our side, on both sides.
const CHALLENGE: u32 = 1;

fn own_name() -> rendez::NodeName {
    "a@127.0.0.1".parse().expect("a node name")
}

fn with_right_digest(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let digest = Digest::answer(&Secret::new(SECRET), CHALLENGE);
    match (packet.first(), packet.len()) {
        (Some(b'r'), 21) => packet[5..].copy_from_slice(digest.as_bytes()),
        (Some(b'a'), 17) => packet[1..].copy_from_slice(digest.as_bytes()),
        _ => {}
    }
    packet
}

/// What can be read of a packet can be written, and is the same when it is read again.
fn written_again(packet: &[u8]) {
    let body = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        assert_eq!(packets(&bytes).count(), 1);
        bytes.split_off(2)
    };
    if let Ok(name) = SendName::decode(packet) {
        let again = body(&|out| name.encode(out));
        assert_eq!(SendName::decode(&again), Ok(name));
    }
    if let Ok(status) = Status::decode(packet) {
        let again = body(&|out| status.encode(out));
        assert_eq!(Status::decode(&again), Ok(status));
    }
    if let Ok(challenge) = Challenge::decode(packet) {
        let again = body(&|out| challenge.encode(out));
        assert_eq!(Challenge::decode(&again), Ok(challenge));
    }
    if let Ok(complement) = Complement::decode(packet) {
        assert_eq!(body(&|out| complement.encode(out)), packet[..9]);
    }
    if let Ok(reply) = Reply::decode(packet) {
        assert_eq!(body(&|out| reply.encode(out)), packet);
    }
    if let Ok(digest) = packet::decode_ack(packet) {
        assert_eq!(body(&|out| packet::encode_ack(&digest, out)), packet);
    }
}

/// A node connects to us.
fn knock(packets: &[&[u8]], verdict: u8) {
    let own = Identity::new(own_name(), 7, Secret::new(SECRET));
    let mut machine = Acceptor::start(own, CHALLENGE);
    let mut out = Vec::new();
    let mut over = false;
    for packet in packets {
        let due = machine.due();
        assert_eq!(due.is_none(), over, "something is due until it is over");
        let mut step = machine.handle(packet, &mut out);
        if let Ok(acceptor::Step::Judge(stranger)) = &step {
            let verdict = match verdict {
                0 => Verdict::Accept,
                1 => Verdict::AcceptSimultaneous,
                2 => Verdict::OursGoesFirst,
                3 => Verdict::Connected,
                4 => Verdict::Refuse,
                _ => Verdict::Name(Named {
                    name: match &stranger.name {
                        Claimed::Name(name) => name.clone(),
                        Claimed::Host(host) => format!("x@{host}").parse().expect("it was read"),
                    },
                    creation: 4,
                }),
            };
            step = machine.judged(verdict, &mut out);
        }
        over = !matches!(step, Ok(acceptor::Step::Packet));
    }
    assert!(out.len() < packet::MAX_PACKET, "nobody makes us say much");
}

/// A node that we connect to answers.
fn answer(packets: &[&[u8]], own: Claimed, version: Version) {
    let attempt = Attempt {
        own,
        creation: 6,
        flags: Flags::claimed(true),
        peer: "b@127.0.0.1".parse().expect("a node name"),
        cookie: Secret::new(SECRET),
        version,
        challenge: CHALLENGE,
    };
    let mut out = Vec::new();
    let mut machine = Initiator::start(attempt, &mut out);
    let mut over = false;
    for packet in packets {
        assert_eq!(
            machine.due().is_none(),
            over,
            "something is due until it is over"
        );
        let mut step = machine.handle(packet, &mut out);
        if step == Ok(initiator::Step::Wanted) {
            step = machine.still_wanted(packet.len() % 2 == 0, &mut out);
        }
        over = step != Ok(initiator::Step::Packet);
    }
    assert!(out.len() < packet::MAX_PACKET, "nobody makes us say much");
}

/// What a peer says after the handshake: frames, distribution headers, fragments, control messages and
/// payloads.
pub fn framing(data: &[u8]) {
    let headers = Flags::DIST_HDR_ATOM_CACHE | Flags::FRAGMENTS;
    for flags in [headers, Flags::DIST_HDR_ATOM_CACHE, Flags::empty()] {
        let (messages, end) = receive(flags, data, usize::MAX);
        // Small steps through a long input would be most of the time.
        let steps = [1, 7, 4096]
            .into_iter()
            .filter(|step| data.len() / step < 2048);
        for step in steps {
            let pieces = receive(flags, data, step);
            assert_eq!(
                pieces,
                (messages.clone(), end.clone()),
                "in steps of {step}"
            );
        }
        // What was understood can be said again, and is understood again. A payload beyond a limit is lost.
        let mut messages = messages;
        messages.retain(|(control, payload)| payload.is_some() || !control.has_payload());
        let again = say(flags, &messages);
        assert_eq!(receive(flags, &again, usize::MAX), (messages, None));
    }
}

fn channel_options(flags: Flags) -> ChannelOptions {
    ChannelOptions {
        // References of any length are read on any connection, and so they have to be written.
        flags: flags | Flags::V4_NC,
        // As small as lets everything happen within the inputs that a fuzzer likes to make.
        max_message: 1 << 20,
        max_assembly: 2 << 20,
        ..ChannelOptions::default()
    }
}

/// A message: what it takes in memory depends on how it came.
type Said = (Control, Option<etf::Term>);

/// The messages in `bytes`, which come at most `step` at once, and what was wrong with them, if anything.
fn receive(flags: Flags, mut bytes: &[u8], step: usize) -> (Vec<Said>, Option<Malformed>) {
    use bytes::BufMut as _;
    let mut decoder = Decoder::new(&channel_options(flags));
    let mut messages = Vec::new();
    loop {
        match decoder.next() {
            Ok(Some(message)) => messages.push((message.control, message.payload)),
            Err(malformed) => return (messages, Some(malformed)),
            Ok(None) if bytes.is_empty() => return (messages, None),
            Ok(None) => {
                let mut space = decoder.space();
                let (now, later) = bytes.split_at(space.remaining_mut().min(step).min(bytes.len()));
                assert!(!now.is_empty(), "there is always space");
                space.put_slice(now);
                decoder.filled(now.len());
                bytes = later;
            }
        }
    }
}

fn say(flags: Flags, messages: &[Said]) -> Vec<u8> {
    use bytes::{Buf as _, BufMut as _};
    let mut outbox = Outbox::new(&channel_options(flags));
    let (mut batch, mut bytes) = (Batch::default(), Vec::new());
    for (control, payload) in messages {
        let pushed = outbox.push(control, payload.as_ref(), Urgency::Signal);
        pushed.expect("what was read can be written");
        while {
            outbox.take(&mut batch);
            batch.has_remaining()
        } {
            bytes.put(&mut batch);
        }
    }
    bytes
}

/// One message of a connection without atom cache: a control message and its payload, each with its version.
pub fn control(data: &[u8]) {
    let mut decoder = etf::Decoder::new(data, &[], etf::Limits::default());
    let term = decoder.version().and_then(|()| decoder.term());
    let Ok(Ok(control)) = term.map(Control::from_term) else {
        return;
    };
    let _ = (
        control.has_payload(),
        decoder.version().and_then(|()| decoder.term()),
    );
    let mut bytes = Vec::new();
    control
        .encode_into(&mut bytes, &mut etf::InPlace)
        .expect("what was read can be written");
    let mut decoder = etf::Decoder::new(&bytes, &[], etf::Limits::default());
    let term = decoder.term().expect("what was written can be read");
    assert_eq!(Control::from_term(term), Ok(control));
    assert_eq!(decoder.remaining(), 0);
}

/// Bytes that claim to be a term, and text that claims to be one.
pub fn etf(data: &[u8]) {
    use etf::{Atom, Decoder, Limits, Term, decode, encode};

    if let Ok(term) = decode(&bytes::Bytes::copy_from_slice(data)) {
        let encoded = encode(&term).expect("what was read can be written");
        let again = decode(&encoded.clone().into()).expect("what was written can be read");
        assert_eq!(again, term);
        assert_eq!(encode(&again), Ok(encoded));
        let text = term.to_string();
        match text.parse::<Term>() {
            Ok(read) => assert_eq!(read, term, "{text}"),
            // What has no syntax, and what nests deeper than a reader goes.
            Err(error) => assert!(
                ["cannot be given as text", "of funs, only", "nests deeper"]
                    .iter()
                    .any(|expected| error.message.contains(expected)),
                "{error}: {text}"
            ),
        }
    }
    // Within a message: no version, atoms from its header.
    let atoms = [Atom::new("a"), Atom::new("b@127.0.0.1")];
    let mut decoder = Decoder::new(data, &atoms, Limits::default());
    while decoder.remaining() > 0 && decoder.term().is_ok() {}

    if let Ok(term) = String::from_utf8_lossy(data).parse::<Term>() {
        let text = term.to_string();
        assert_eq!(text.parse().as_ref(), Ok(&term), "{text}");
        let encoded = encode(&term).expect("what was read can be written");
        assert_eq!(decode(&encoded.into()), Ok(term), "{text}");
    }
}
