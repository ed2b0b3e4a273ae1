//! What the crates `erl_dist` 0.8 and `eetf` 0.11 do where Rendez has code of its own: the table of
//! `docs/distribution.md`, "Why not `erl_dist`", row by row. When a test here fails after an update of one of the two
//! crates, the row goes.
#![cfg(feature = "dist")]

use std::alloc::System;
use std::io::{Cursor, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use eetf::{FixInteger, List};
use erl_dist::LOWEST_DISTRIBUTION_PROTOCOL_VERSION;
use erl_dist::handshake::{ClientSideHandshake, HandshakeStatus, ServerSideHandshake};
use erl_dist::message::{Message, SendTt, channel};
use erl_dist::node::{Creation, LocalNode};
use futures::executor::block_on;
use futures::io::AllowStdIo;
use rendez::Secret;
use rendez::dist::Flags;
use rendez::dist::control::Control;
use rendez::dist::handshake::initiator::Step;
use rendez::dist::handshake::{Attempt, Claimed, Identity, Initiator, Version};
use rendez::dist::handshake::{Digest, packet};
use rendez::etf::{DecodeError, Limits, Term, decode, encode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn theirs(bytes: &[u8]) -> Result<eetf::Term, eetf::DecodeError> {
    eetf::Term::decode(bytes)
}

fn ours(bytes: &[u8]) -> Result<Term, DecodeError> {
    decode(&Bytes::copy_from_slice(bytes))
}

/// Whether it panics. What it says is kept back.
fn panics(bytes: &'static [u8]) -> bool {
    catch_unwind(|| theirs(bytes)).is_err()
}

#[test]
fn erl_dist_writes_a_list_of_negative_integers_as_other_integers() {
    let list = eetf::Term::from(List::from(vec![FixInteger::from(-1).into()]));
    let mut written = Vec::new();
    list.encode(&mut written).expect("it is written");
    // STRING_EXT: the text of character 255.
    assert_eq!(written, [131, 107, 0, 1, 255]);
    let list = Term::List(vec![Term::Int(-1)]);
    assert_eq!(ours(&encode(&list).expect("it is written")), Ok(list));
}

#[test]
fn erl_dist_panics_where_a_message_has_a_distribution_header_or_a_cached_atom() {
    assert!(panics(&[131, 68, 0]));
    assert!(panics(&[131, 82, 0]));
    assert!(ours(&[131, 68, 0]).is_err());
    assert!(ours(&[131, 82, 0]).is_err());
}

#[test]
fn erl_dist_panics_at_a_bit_string_of_no_or_nine_bits() {
    // Built without overflow checks it gives other bits instead.
    if cfg!(debug_assertions) {
        assert!(panics(&[131, 77, 0, 0, 0, 1, 0, 255]));
        assert!(panics(&[131, 77, 0, 0, 0, 1, 9, 255]));
    }
    for bits in [0, 9] {
        let read = ours(&[131, 77, 0, 0, 0, 1, bits, 255]);
        assert!(matches!(read, Err(DecodeError::Value(_))), "{read:?}");
    }
}

#[test]
fn erl_dist_reserves_what_a_length_says() {
    let binary = [131, 109, 0x10, 0, 0, 0];
    let region = Region::new(ALLOCATOR);
    assert!(theirs(&binary).is_err());
    assert!(region.change().bytes_allocated >= 256 << 20);
    // Other tests run beside it and allocate little.
    let region = Region::new(ALLOCATOR);
    assert_eq!(ours(&binary), Err(DecodeError::Truncated));
    assert!(region.change().bytes_allocated < 64 << 20);
}

#[test]
fn erl_dist_overflows_the_stack_where_a_term_is_deep() {
    const MARK: &str = "RENDEZ_TEST_DEEP";
    let deep = [vec![131], [104, 1].repeat(1_000_000), vec![106]].concat();
    assert_eq!(ours(&deep), Err(DecodeError::Depth));
    if std::env::var_os(MARK).is_some() {
        drop(theirs(&deep));
        return;
    }
    let child = Command::new(std::env::current_exe().expect("the test's binary"))
        .args([
            "erl_dist_overflows_the_stack_where_a_term_is_deep",
            "--exact",
        ])
        .env(MARK, "1")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(child.status.signal().is_some(), "{child:?}");
}

#[test]
fn erl_dist_loses_digits_of_old_floats() {
    let mut bytes = vec![131, 99];
    bytes.extend_from_slice(b"1.10000000000000008882e+00");
    bytes.resize(33, 0);
    let Ok(eetf::Term::Float(float)) = theirs(&bytes) else {
        panic!("a float");
    };
    assert_ne!(float.value, 1.1);
    assert_eq!(ours(&bytes), Ok(Term::Float(1.1)));
}

#[test]
fn erl_dist_takes_a_list_of_bytes_for_no_list() {
    let list = eetf::Term::from(List::from(vec![FixInteger::from(97).into()]));
    assert_ne!(theirs(&[131, 107, 0, 1, 97]).expect("a term"), list);
    assert_eq!(
        ours(&[131, 107, 0, 1, 97]),
        Ok(Term::List(vec![Term::Int(97)]))
    );
}

#[test]
fn erl_dist_refuses_atoms_in_latin_1() {
    assert!(theirs(&[131, 100, 0, 1, 0xE9]).is_err());
    assert_eq!(ours(&[131, 100, 0, 1, 0xE9]), Ok(Term::atom("é")));
}

#[test]
fn erl_dist_keeps_the_last_of_a_maps_equal_keys() {
    let bytes = [131, 116, 0, 0, 0, 2, 97, 1, 97, 1, 97, 1, 97, 2];
    let Ok(eetf::Term::Map(map)) = theirs(&bytes) else {
        panic!("a map");
    };
    assert_eq!(map.map.len(), 1);
    assert_eq!(ours(&bytes), Err(DecodeError::DuplicateKey));
}

// The handshake and the channel.

/// What the peer says, and what was said to it.
#[derive(Debug, Clone, Default)]
struct Wire {
    input: Arc<Mutex<Cursor<Vec<u8>>>>,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    fn of(input: Vec<u8>) -> (Self, AllowStdIo<Self>) {
        let wire = Self {
            input: Arc::new(Mutex::new(Cursor::new(input))),
            ..Self::default()
        };
        (wire.clone(), AllowStdIo::new(wire))
    }

    fn written(&self) -> Vec<u8> {
        self.output.lock().expect("no panic under it").clone()
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.input.lock().expect("no panic under it").read(bytes)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.output.lock().expect("no panic under it").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const COOKIE: &str = "a-cookie-that-is-secret";

fn local() -> LocalNode {
    LocalNode::new("a@127.0.0.1".parse().expect("a name"), Creation::new(1))
}

fn with_length(packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).expect("short");
    [&length.to_be_bytes()[..], packet].concat()
}

#[test]
fn erl_dist_never_answers_that_an_earlier_connection_is_to_go() {
    let (wire, io) = Wire::of(with_length(b"salive"));
    let mut handshake = ClientSideHandshake::new(io, local(), COOKIE);
    let status = block_on(handshake.execute_send_name(LOWEST_DISTRIBUTION_PROTOCOL_VERSION));
    let status = match status {
        Ok(status) => status,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(status, HandshakeStatus::Alive);
    let before = wire.written();
    // The peer waits for `true`, and this side for the challenge that comes after it.
    assert!(block_on(handshake.execute_rest(true)).is_err());
    assert_eq!(wire.written(), before);

    let attempt = Attempt {
        own: Claimed::Name("a@127.0.0.1".parse().expect("a name")),
        creation: 1,
        flags: Flags::claimed(false),
        peer: "b@127.0.0.1".parse().expect("a name"),
        cookie: Secret::new(COOKIE),
        version: Version::V6,
        challenge: 1,
    };
    let mut out = Vec::new();
    let mut machine = Initiator::start(attempt, &mut out);
    out.clear();
    assert_eq!(machine.handle(b"salive", &mut out), Ok(Step::Wanted));
    machine.still_wanted(true, &mut out).expect("a step");
    assert_eq!(out, with_length(b"strue"));
}

#[test]
fn erl_dist_takes_the_answer_to_alive_for_the_reply_to_its_challenge() {
    // The peer's name, `true` to `alive`, and then its reply.
    let mut name = vec![b'N'];
    name.extend(Flags::claimed(false).bits().to_be_bytes());
    name.extend(1_u32.to_be_bytes());
    name.extend(11_u16.to_be_bytes());
    name.extend_from_slice(b"b@127.0.0.1");
    let input = [with_length(&name), with_length(b"strue")].concat();
    let (_wire, io) = Wire::of(input);
    let mut handshake = ServerSideHandshake::new(io, local(), COOKIE);
    block_on(handshake.execute_recv_name()).expect("a name");
    let rest = block_on(handshake.execute_rest(HandshakeStatus::Alive));
    let Err(error) = rest else { panic!("it fails") };
    let error = error.to_string().to_lowercase();
    assert!(error.contains("challenge_reply"), "{error}");
}

#[test]
fn erl_dist_shows_the_cookie_in_a_debug_print() {
    let (_wire, io) = Wire::of(Vec::new());
    let handshake = ClientSideHandshake::new(io, local(), COOKIE);
    assert!(format!("{handshake:?}").contains(COOKIE));
    let name = "a@127.0.0.1".parse().expect("a name");
    let ours = Identity::new(name, 1, Secret::new(COOKIE));
    assert!(!format!("{ours:?}").contains(COOKIE));
}

#[test]
fn erl_dist_cannot_read_a_traced_message() {
    let pid = eetf::Pid::new("a@127.0.0.1".to_owned(), 1, 0, 1);
    let traced = Message::SendTt(SendTt {
        to_pid: pid,
        trace_token: eetf::Atom::from("token").into(),
        message: eetf::Atom::from("hello").into(),
    });
    let (wire, io) = Wire::of(Vec::new());
    let (mut sender, _) = channel(io, erl_dist::DistributionFlags::default());
    block_on(sender.send(traced)).expect("it is written");
    let written = wire.written();
    let (_wire, io) = Wire::of(written.clone());
    let (_, mut receiver) = channel(io, erl_dist::DistributionFlags::default());
    assert!(block_on(receiver.recv()).is_err());
    // The control message follows the length and 112.
    let mut decoder = rendez::etf::Decoder::new(&written[5..], &[], Limits::default());
    decoder.version().expect("a term");
    let control = Control::from_term(decoder.term().expect("a term"));
    assert!(matches!(control, Ok(Control::Send { .. })), "{control:?}");
}

#[test]
fn erl_dist_hashes_a_cookie_of_latin_1_as_utf_8() {
    // `ä` is one byte to OTP, and two to erl_dist, which takes a `&str`.
    let otp = Digest::answer(&Secret::new(vec![0xE4]), 17);
    let mut challenge = vec![b'N'];
    challenge.extend(Flags::claimed(true).bits().to_be_bytes());
    challenge.extend(17_u32.to_be_bytes());
    challenge.extend(1_u32.to_be_bytes());
    challenge.extend(11_u16.to_be_bytes());
    challenge.extend_from_slice(b"b@127.0.0.1");
    let (wire, io) = Wire::of([with_length(b"sok"), with_length(&challenge)].concat());
    let mut handshake = ClientSideHandshake::new(io, local(), "ä");
    block_on(handshake.execute_send_name(LOWEST_DISTRIBUTION_PROTOCOL_VERSION)).expect("a status");
    assert!(block_on(handshake.execute_rest(true)).is_err());
    let written = wire.written();
    let reply = packet::Reply::decode(&written[written.len() - 21..]).expect("a reply");
    assert_ne!(reply.digest.as_bytes(), otp.as_bytes());
}
