//! Both directions without a socket: what an outbox gives, a decoder reads.

use bytes::{Buf as _, BufMut as _, Bytes};
use proptest::prelude::*;

use super::*;
use crate::dist::control::Control;
use crate::etf::{Atom, DecodeError, Pid, Term};

const PLAIN: Flags = Flags::empty();
const ATOM_CACHE: Flags = Flags::DIST_HDR_ATOM_CACHE;
const BOTH: Flags = ATOM_CACHE.union(Flags::FRAGMENTS);

fn options(flags: Flags) -> ChannelOptions {
    ChannelOptions {
        flags,
        ..ChannelOptions::default()
    }
}

fn pid(id: u32) -> Pid {
    Pid {
        node: Atom::new("a@127.0.0.1"),
        id,
        serial: 0,
        creation: 1,
    }
}

fn send(from: u32, to: u32) -> Control {
    Control::SendSender {
        from: pid(from),
        to: pid(to),
    }
}

/// An outbox that divides messages from 64 KiB on.
fn outbox(flags: Flags) -> Outbox {
    let mut outbox = Outbox::new(&options(flags));
    outbox.set_slow(true);
    outbox
}

/// Takes everything out of an outbox, as a writer does.
fn drain(outbox: &mut Outbox) -> Vec<u8> {
    let (mut bytes, mut batch) = (Vec::new(), Batch::default());
    loop {
        outbox.take(&mut batch);
        if !batch.has_remaining() {
            return bytes;
        }
        bytes.put(&mut batch);
    }
}

/// Gives `bytes` to a decoder, at most `step` at once.
pub(super) fn feed(
    decoder: &mut Decoder,
    mut bytes: &[u8],
    step: usize,
) -> Result<Vec<Incoming>, Malformed> {
    let mut messages = Vec::new();
    loop {
        while let Some(message) = decoder.next()? {
            messages.push(message);
        }
        if bytes.is_empty() {
            return Ok(messages);
        }
        let mut space = decoder.space();
        let count = space.remaining_mut().min(step).min(bytes.len());
        assert!(count > 0, "there is always space");
        space.put_slice(&bytes[..count]);
        bytes.advance(count);
        decoder.filled(count);
    }
}

fn read(flags: Flags, bytes: &[u8]) -> Result<Vec<Incoming>, Malformed> {
    feed(&mut Decoder::new(&options(flags)), bytes, usize::MAX)
}

fn said(incoming: Vec<Incoming>) -> Vec<(Control, Option<Term>)> {
    let said = |it: Incoming| (it.control, it.payload);
    incoming.into_iter().map(said).collect()
}

/// A frame: its length and what is in it.
fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn fragment(kind: u8, sequence: u64, id: u64, data: &[u8]) -> Vec<u8> {
    let mut body = vec![kind::VERSION, kind];
    body.extend_from_slice(&sequence.to_be_bytes());
    body.extend_from_slice(&id.to_be_bytes());
    body.extend_from_slice(data);
    frame(&body)
}

#[test]
fn frames_are_as_the_protocol_has_them() {
    let control = Control::RegSend {
        from: pid(1),
        to: Atom::new("shop"),
    };
    let mut outbox = Outbox::new(&options(PLAIN));
    outbox
        .push(&control, Some(&Term::Int(7)), Urgency::Message)
        .unwrap();
    let node = b"w\x0ba@127.0.0.1";
    let mut plain = b"p\x83h\x04a\x06X".to_vec();
    plain.extend_from_slice(node);
    plain.extend_from_slice(b"\0\0\0\x01\0\0\0\0\0\0\0\x01w\0w\x04shop\x83a\x07");
    assert_eq!(drain(&mut outbox), frame(&plain));

    let mut outbox = Outbox::new(&options(BOTH));
    outbox
        .push(&control, Some(&Term::Int(7)), Urgency::Message)
        .unwrap();
    let bytes = drain(&mut outbox);
    assert_eq!(bytes[4..7], [131, 68, 3]);
    let body = b"h\x04a\x06XR\0\0\0\0\x01\0\0\0\0\0\0\0\x01R\x01R\x02a\x07";
    assert!(bytes.ends_with(body));
}

#[test]
fn a_long_message_goes_whole_to_a_fast_peer() {
    let mut outbox = Outbox::new(&options(BOTH));
    let mut decoder = Decoder::new(&options(BOTH));
    for (size, kind) in [(2 << 20, 69), (1 << 20, 68)] {
        let binary = Term::binary(vec![5; size]);
        outbox
            .push(&send(1, 2), Some(&binary), Urgency::Message)
            .unwrap();
        let bytes = drain(&mut outbox);
        assert_eq!(bytes[5], kind);
        let got = feed(&mut decoder, &bytes, usize::MAX).unwrap();
        assert_eq!(said(got), [(send(1, 2), Some(binary))]);
    }
}

#[test]
fn a_long_message_goes_in_fragments_of_64_kib_to_a_slow_one() {
    let mut outbox = outbox(BOTH);
    let binary = Term::binary(vec![5; 150_000]);
    outbox
        .push(&send(1, 2), Some(&binary), Urgency::Message)
        .unwrap();
    let bytes = drain(&mut outbox);
    let mut kinds = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let length = rest.get_u32() as usize;
        let id = u64::from_be_bytes(*rest[10..].first_chunk().unwrap());
        kinds.push((rest[1], id, length));
        rest.advance(length);
    }
    let header = kinds[0].2 - 65_536 - 18;
    let last = 150_000
        + bytes[4 + 18 + header..]
            .windows(5)
            .position(|w| w == [5; 5])
            .unwrap()
        - 2 * 65_536;
    assert_eq!(
        kinds,
        [
            (69, 3, 65_536 + 18 + header),
            (70, 2, 65_536 + 18),
            (70, 1, last + 18)
        ]
    );
    let got = read(BOTH, &bytes).unwrap();
    assert_eq!(said(got), [(send(1, 2), Some(binary))]);
}

#[test]
fn long_messages_of_several_senders_are_mixed_and_each_sender_stays_in_order() {
    let mut outbox = outbox(BOTH);
    let long = |byte| Term::binary(vec![byte; 1 << 20]);
    for sender in 1..=3 {
        let binary = long(u8::try_from(sender).unwrap());
        outbox
            .push(&send(sender, 9), Some(&binary), Urgency::Message)
            .unwrap();
    }
    // Its own long message is under way: it has to wait, others have not.
    let busy = outbox.push(&send(1, 9), Some(&Term::NIL), Urgency::Message);
    assert_eq!(busy, Err(SendError::Busy));
    outbox
        .push(&send(4, 9), Some(&Term::NIL), Urgency::Message)
        .unwrap();
    let bytes = drain(&mut outbox);
    let got = read(BOTH, &bytes).unwrap();
    let senders: Vec<_> = got
        .iter()
        .map(|incoming| match &incoming.control {
            Control::SendSender { from, .. } => from.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(senders, [4, 1, 2, 3]);
    for (incoming, byte) in got[1..].iter().zip(1..) {
        assert_eq!(incoming.payload, Some(long(byte)));
    }
}

#[test]
fn a_signal_neither_waits_nor_overtakes() {
    let mut outbox = outbox(BOTH);
    let binary = Term::binary(vec![1; 1 << 20]);
    for sender in 1..=2 {
        outbox
            .push(&send(sender, 9), Some(&binary), Urgency::Message)
            .unwrap();
    }
    let exit = Control::PayloadExit {
        from: pid(2),
        to: pid(9),
    };
    outbox
        .push(&exit, Some(&Term::NIL), Urgency::Signal)
        .unwrap();
    let got = read(BOTH, &drain(&mut outbox)).unwrap();
    let controls: Vec<_> = got.into_iter().map(|incoming| incoming.control).collect();
    assert_eq!(controls, [send(2, 9), exit, send(1, 9)]);
}

#[test]
fn what_waits_has_an_end() {
    let mut outbox = Outbox::new(&ChannelOptions {
        high_water: 1000,
        hard_limit: 2000,
        ..options(BOTH)
    });
    let count = |outbox: &mut Outbox, urgency| {
        (0..1000)
            .take_while(|_| {
                outbox
                    .push(&send(1, 2), Some(&Term::binary(vec![0; 100])), urgency)
                    .is_ok()
            })
            .count()
    };
    let messages = count(&mut outbox, Urgency::Message);
    assert!((5..10).contains(&messages), "{messages}");
    let signals = count(&mut outbox, Urgency::Signal);
    assert!((10..20).contains(&signals), "{signals}");
    // A long message is no reason to give up the peer.
    drain(&mut outbox);
    let long = Term::binary(vec![0; 100_000]);
    outbox
        .push(&send(1, 2), Some(&long), Urgency::Message)
        .unwrap();
    assert_eq!(count(&mut outbox, Urgency::Message), 0);
    assert!(count(&mut outbox, Urgency::Signal) > 5);
    drain(&mut outbox);
    assert!(count(&mut outbox, Urgency::Message) > 5);
}

#[test]
fn a_message_that_cannot_be_written_leaves_no_trace() {
    for flags in [PLAIN, BOTH] {
        let mut outbox = Outbox::new(&options(flags));
        let lost = Term::List(vec![Term::atom("lost"), Term::Float(f64::NAN)]);
        let failed = outbox.push(&send(1, 2), Some(&lost), Urgency::Message);
        assert!(matches!(failed, Err(SendError::Encode(_))));
        let found = Term::List(vec![Term::atom("lost"), Term::atom("found")]);
        outbox
            .push(&send(1, 2), Some(&found), Urgency::Message)
            .unwrap();
        let got = read(flags, &drain(&mut outbox)).unwrap();
        assert_eq!(said(got), [(send(1, 2), Some(found))]);
    }
}

#[test]
fn large_binaries_are_neither_copied_out_nor_in() {
    let bytes = Bytes::from(vec![3; 1 << 20]);
    let mut outbox = outbox(BOTH);
    let term = Term::Tuple(vec![Term::atom("data"), Term::binary(bytes.clone())]);
    outbox
        .push(&send(1, 2), Some(&term), Urgency::Message)
        .unwrap();
    drop(term);
    let mut batch = Batch::default();
    outbox.take(&mut batch);
    assert!(!bytes.is_unique());
    assert!(std::ptr::eq(
        batch.shared_parts().next().unwrap().as_ptr(),
        bytes.as_ptr()
    ));
    let mut wire: Vec<u8> = Vec::new();
    wire.put(&mut batch);
    wire.extend(drain(&mut outbox));

    let mut decoder = Decoder::new(&options(BOTH));
    // The first of its size may be moved once while the peer earns its trust.
    feed(&mut decoder, &wire, usize::MAX).unwrap();
    outbox
        .push(&send(1, 2), Some(&Term::binary(bytes)), Urgency::Message)
        .unwrap();
    let wire = drain(&mut outbox);
    let (mut places, mut left) = (Vec::new(), &wire[..]);
    let got = loop {
        if let Some(message) = decoder.next().unwrap() {
            break message;
        }
        let mut space = decoder.space();
        let count = space.remaining_mut().min(left.len());
        places.push(space.chunk_mut().as_mut_ptr() as usize);
        space.put_slice(&left[..count]);
        left.advance(count);
        decoder.filled(count);
    };
    let binary = got.payload.as_ref().and_then(Term::as_binary).unwrap();
    let range = binary.as_ptr() as usize..binary.as_ptr() as usize + binary.len();
    // But for the first piece, read before anything was known of the message, all came to its place.
    assert!(places[1..].iter().all(|place| range.contains(place)));
    assert_eq!(binary.len(), 1 << 20);
}

#[test]
fn fragments_may_be_of_any_size_and_in_any_mixture() {
    // {2, '', Pid} and a binary, without a single atom in the header.
    let mut message_bytes = b"\0h\x03a\x02w\0X".to_vec();
    message_bytes.extend_from_slice(b"w\x03a@b\0\0\0\x01\0\0\0\0\0\0\0\x01m\0\0\0\x03abc");
    let control = 1 + message_bytes.len() - 9;
    let (first, second) = message_bytes.split_at(control);
    let mut wire = Vec::new();
    wire.extend(fragment(69, 7, 4, first));
    wire.extend(fragment(69, 8, 2, first));
    wire.extend([0; 4]);
    wire.extend(fragment(70, 7, 3, &second[..1]));
    wire.extend(fragment(70, 8, 1, second));
    wire.extend(fragment(70, 7, 2, b""));
    wire.extend(fragment(70, 7, 1, &second[1..]));
    // The id of a message that has ended is free again, and one fragment is as good as none.
    wire.extend(fragment(69, 7, 1, &message_bytes));
    for step in [1, 2, 3, 50, usize::MAX] {
        let mut decoder = Decoder::new(&options(BOTH));
        let got = feed(&mut decoder, &wire, step).unwrap();
        assert_eq!(got.len(), 3);
        let binary = Some(Term::binary(&b"abc"[..]));
        assert!(got.iter().all(|incoming| incoming.payload == binary));
    }
}

#[test]
fn malformed_bytes_have_a_name() {
    use crate::dist::control::ControlError;
    use crate::dist::header::HeaderError;
    use crate::etf::DecodeError;
    let refused = |flags, wire: &[u8]| read(flags, wire).unwrap_err();
    let plain = |body: &[u8]| refused(PLAIN, &frame(body));
    let with_header = |body: &[u8]| refused(BOTH, &frame(body));

    assert_eq!(plain(b"q\x83"), Malformed::Kind([b'q', 0x83]));
    assert_eq!(plain(b"\x83D\0"), Malformed::Kind([131, 68]));
    assert_eq!(with_header(b"p\x83"), Malformed::Kind([b'p', 131]));
    assert_eq!(with_header(b"\x83"), Malformed::Kind([131, 0]));
    assert_eq!(
        refused(ATOM_CACHE, &fragment(69, 1, 2, b"\0")),
        Malformed::Kind([131, 69])
    );
    assert_eq!(with_header(b"\x83E\0"), Malformed::Short(3));
    assert_eq!(
        with_header(b"\x83D\x01\0\x05"),
        Malformed::Header(HeaderError::Empty(5))
    );
    let control = |error| Malformed::Term {
        part: "the control message",
        error,
    };
    assert_eq!(plain(b"p"), control(DecodeError::Truncated));
    assert_eq!(plain(b"p\x84"), control(DecodeError::Version(0x84)));
    assert_eq!(with_header(b"\x83D\0\x83"), control(DecodeError::Tag(131)));
    assert_eq!(
        plain(b"p\x83h\x01a\x63"),
        Malformed::Control(ControlError::Operation(99))
    );
    let unlink =
        b"p\x83h\x03a\x04Xw\x01a\0\0\0\x01\0\0\0\0\0\0\0\x01Xw\x01a\0\0\0\x01\0\0\0\0\0\0\0\x01";
    assert_eq!(read(PLAIN, &frame(unlink)).unwrap().len(), 1);
    assert_eq!(plain(&[&unlink[..], b"a"].concat()), Malformed::Payload(1));
    let send = b"p\x83h\x03a\x02w\0Xw\x01a\0\0\0\x01\0\0\0\0\0\0\0\x01";
    let payload = |error| Malformed::Term {
        part: "the payload",
        error,
    };
    assert_eq!(plain(send), payload(DecodeError::Truncated));
    assert_eq!(
        plain(&[&send[..], b"\x83jj"].concat()),
        payload(DecodeError::Trailing(1))
    );

    let start = fragment(69, 1, 3, b"\0h");
    let after = |more: Vec<u8>| refused(BOTH, &[start.clone(), more].concat());
    assert_eq!(
        after(fragment(69, 1, 3, b"\0h")),
        Malformed::SequenceReused(1)
    );
    assert_eq!(
        after(fragment(70, 2, 2, b"x")),
        Malformed::SequenceUnknown(2)
    );
    assert_eq!(
        after(fragment(70, 1, 1, b"x")),
        Malformed::Fragment {
            sequence: 1,
            got: 1,
            due: 2
        }
    );
    assert!(matches!(
        refused(BOTH, &fragment(69, 1, 0, b"\0h")),
        Malformed::Fragment { got: 0, .. }
    ));
}

#[test]
fn what_is_too_large_ends_the_connection_before_it_is_kept() {
    let options = ChannelOptions {
        max_message: 100_000,
        max_assembly: 150_000,
        ..options(BOTH)
    };
    let refused = |wire: &[u8]| {
        let mut decoder = Decoder::new(&options);
        feed(&mut decoder, wire, usize::MAX).unwrap_err()
    };
    let too_large = |length| Malformed::TooLarge {
        length,
        limit: 100_000,
    };
    // Without a payload there is nothing that could be lost.
    assert_eq!(
        refused(&frame(
            &[&exit_in_control()[..], &vec![106; 200_000]].concat()
        )),
        too_large(200_000 + exit_in_control().len())
    );
    let data = vec![0; 60_000];
    let start = |sequence| fragment(69, sequence, 3, &data);
    let three = [start(1), start(2), start(3)].concat();
    assert!(matches!(refused(&three), Malformed::Assembling { .. }));
}

#[test]
fn a_message_beyond_a_limit_is_lost_and_those_after_it_are_not() {
    let mut deep = Term::NIL;
    for _ in 0..4200 {
        deep = Term::List(vec![Term::Int(1), deep]);
    }
    let long = Term::binary(vec![7; 150_000]);
    let payloads = [Term::Int(1), long, deep, Term::Int(2)];
    let options = ChannelOptions {
        max_message: 100_000,
        max_assembly: 200_000,
        ..options(BOTH)
    };
    let (mut outbox, mut wire) = (outbox(BOTH), Vec::new());
    for _ in 0..3 {
        for payload in &payloads {
            outbox
                .push(&send(1, 2), Some(payload), Urgency::Message)
                .unwrap();
            wire.extend(drain(&mut outbox));
        }
    }
    for step in [100, 5000, usize::MAX] {
        let mut decoder = Decoder::new(&options);
        let mut messages = feed(&mut decoder, &wire, step).unwrap();
        messages.sort_by_key(|message| message.payload.clone());
        let (lost, whole) = messages.split_at(6);
        assert!(lost.iter().all(|message| message.control == send(1, 2)));
        let reasons = |wanted: fn(&Lost) -> bool| {
            lost.iter()
                .filter(|message| message.lost.as_ref().is_some_and(wanted))
                .count()
        };
        let too_long = |lost: &Lost| matches!(lost, Lost::TooLong { length, limit: 100_000 } if *length > 150_000);
        assert_eq!(reasons(too_long), 3);
        assert_eq!(reasons(|lost| *lost == Lost::Limits(DecodeError::Depth)), 3);
        let whole: Vec<_> = whole
            .iter()
            .filter_map(|message| message.payload.as_ref()?.as_int())
            .collect();
        assert_eq!(whole, [1, 1, 1, 2, 2, 2]);
    }
}

/// `EXIT` of pid 1 to pid 2, with its reason in the control message.
fn exit_in_control() -> Vec<u8> {
    let exit = Control::Exit {
        from: pid(1),
        to: pid(2),
        reason: Term::NIL,
    };
    let mut outbox = outbox(BOTH);
    outbox.push(&exit, None, Urgency::Signal).unwrap();
    drain(&mut outbox).split_off(4)
}

/// In one frame whatever its length: how a peer speaks that has no fragments.
fn in_one_frame(payload: &Term, flags: Flags) -> Vec<u8> {
    let mut whole = outbox(flags - Flags::FRAGMENTS);
    whole
        .push(&send(1, 2), Some(payload), Urgency::Message)
        .unwrap();
    drain(&mut whole)
}

#[test]
fn a_frame_that_is_too_long_costs_its_message_and_not_the_connection() {
    let payload = |length: usize| Term::binary(vec![7; length]);
    // Longer than what is kept of it, shorter, and a little too long.
    for (max_message, lengths) in [(100_000, [100_000, 2_000_000]), (20, [40, 70_000])] {
        for flags in [BOTH, Flags::empty()] {
            let options = ChannelOptions {
                max_message,
                ..options(flags)
            };
            let mut wire = Vec::new();
            for length in lengths {
                wire.extend(in_one_frame(&payload(length), flags));
                wire.extend([0; 4]);
            }
            for step in [7, 1000, 100_000, usize::MAX] {
                let mut decoder = Decoder::new(&options);
                let came = feed(&mut decoder, &wire, step).unwrap();
                let lost: Vec<_> = came
                    .iter()
                    .map(|message| (message.control == send(1, 2), message.lost.clone()))
                    .collect();
                let longer = |(is_send, lost): &(bool, Option<Lost>), length: usize| {
                    *is_send
                        && matches!(lost, Some(Lost::TooLong { length: long, limit })
                            if *limit == max_message && *long > length && *long < length + 200)
                };
                assert_eq!(lost.len(), 2, "{flags}, in steps of {step}");
                assert!(longer(&lost[0], lengths[0]), "{lost:?}");
                assert!(longer(&lost[1], lengths[1]), "{lost:?}");
                // What comes after it is read as if nothing had been.
                let short = in_one_frame(&Term::NIL, flags);
                if short.len() - 4 <= max_message {
                    let next = feed(&mut decoder, &short, step).unwrap();
                    assert_eq!(next[0].payload, Some(Term::NIL));
                }
                assert!(decoder.space().get_ref().capacity() < 300_000);
            }
        }
    }
}

#[test]
fn fragments_that_are_too_long_by_themselves_cost_their_message_only() {
    let options = ChannelOptions {
        max_message: 1000,
        max_assembly: 20_000,
        ..options(BOTH)
    };
    let body = in_one_frame(&Term::binary(vec![7; 10]), BOTH).split_off(6);
    for first in [0, 5000] {
        let begun = [&body[..], &vec![7; first]].concat();
        let wire = [
            fragment(69, 1, 3, &begun),
            fragment(69, 2, 1, &body),
            fragment(70, 1, 2, &[7; 30_000]),
            fragment(70, 1, 1, &[7; 3]),
            fragment(69, 3, 1, &body),
        ]
        .concat();
        for step in [1, 1000, usize::MAX] {
            let mut decoder = Decoder::new(&options);
            let came = feed(&mut decoder, &wire, step).unwrap();
            let lost: Vec<_> = came.iter().map(|it| it.lost.clone()).collect();
            let length = first + 30_003;
            assert!(lost[0].is_none() && lost[2].is_none(), "{lost:?}");
            assert!(
                matches!(&lost[1], Some(Lost::TooLong { length: long, .. }) if *long >= length),
                "{lost:?}"
            );
        }
    }
}

#[test]
fn a_lie_about_a_length_costs_little() {
    for wire in [
        [0x07, 0xff, 0xff, 0xff].to_vec(),
        fragment(69, 1, u64::MAX, &[0; 30_000])[..1024].to_vec(),
        fragment(69, 1, u64::MAX, &[0; 900]),
    ] {
        let mut decoder = Decoder::new(&options(BOTH));
        assert_eq!(feed(&mut decoder, &wire, 100).unwrap(), []);
        let space = decoder.space();
        assert!(space.get_ref().capacity() < 128 * 1024);
    }
}

#[test]
fn a_connection_at_rest_keeps_little() {
    let mut decoder = Decoder::new(&options(BOTH));
    let mut outbox = Outbox::new(&options(BOTH));
    for _ in 0..100 {
        let binary = Term::binary(vec![0; 5000]);
        outbox
            .push(&send(1, 2), Some(&binary), Urgency::Message)
            .unwrap();
    }
    let wire = drain(&mut outbox);
    assert_eq!(feed(&mut decoder, &wire, usize::MAX).unwrap().len(), 100);
    for _ in 0..20 {
        feed(&mut decoder, &[0; 4], 4).unwrap();
    }
    assert!(decoder.space().get_ref().capacity() <= 4096);
}

fn term() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Term::Int),
        "[a-z]{0,4}".prop_map(|name| Term::Atom(Atom::try_from(&name[..]).unwrap())),
        (0_usize..3).prop_map(|size| Term::binary(vec![7; [3, 9_000, 140_000][size]])),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        proptest::collection::vec(inner, 0..5).prop_map(Term::Tuple)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_message_arrives_in_the_order_of_its_sender(
        sent in proptest::collection::vec((0_u32..3, term()), 1..30),
        flags in prop_oneof![Just(PLAIN), Just(ATOM_CACHE), Just(BOTH)],
        step in prop_oneof![1_usize..100, 1_usize..100_000],
        drained in 0_usize..5,
    ) {
        let mut outbox = outbox(flags);
        let (mut batch, mut wire) = (Batch::default(), Vec::new());
        for (number, (sender, payload)) in sent.iter().enumerate() {
            let control = send(*sender, 9);
            while outbox.push(&control, Some(payload), Urgency::Message).is_err() {
                outbox.take(&mut batch);
                wire.put(&mut batch);
            }
            if number % 5 == drained {
                outbox.take(&mut batch);
                wire.put(&mut batch);
            }
        }
        wire.extend(drain(&mut outbox));
        let mut decoder = Decoder::new(&options(flags));
        let got = feed(&mut decoder, &wire, step).unwrap();
        prop_assert_eq!(got.len(), sent.len());
        for sender in 0..3 {
            let of = |incoming: &&Incoming| incoming.control == send(sender, 9);
            let got = got.iter().filter(of).map(|incoming| incoming.payload.as_ref().unwrap());
            let sent = sent.iter().filter(|(from, _)| *from == sender).map(|(_, term)| term);
            prop_assert!(got.eq(sent));
        }
    }

    #[test]
    fn no_bytes_panic(
        flags in prop_oneof![Just(PLAIN), Just(ATOM_CACHE), Just(BOTH)],
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..9),
        step in 1_usize..80,
    ) {
        let wire: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        let _ = feed(&mut Decoder::new(&options(flags)), &wire, step);
    }
}

#[test]
fn a_message_says_what_it_takes() {
    let takes = |term: Term| {
        let mut outbox = Outbox::new(&options(BOTH));
        outbox
            .push(&send(1, 2), Some(&term), Urgency::Message)
            .unwrap();
        read(BOTH, &drain(&mut outbox)).unwrap()[0].bytes
    };
    assert!(takes(Term::Int(1)) < 100);
    // Two bytes each on the way.
    let numbers = takes(vec![Term::Int(1); 1000].into());
    assert!(
        (1000 * size_of::<Term>()..1100 * size_of::<Term>()).contains(&numbers),
        "{numbers}"
    );
    // Where it came, or copied.
    for length in [100_000, 500] {
        let binary = takes(Term::Binary(vec![7; length].into()));
        assert!((length..2 * length + 100).contains(&binary), "{binary}");
    }
}

/// A stream as TLS is over a socket whose peer is stopped: it takes everything and passes nothing on.
struct Stopped;

impl tokio::io::AsyncRead for Stopped {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

impl AsyncWrite for Stopped {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

/// A connection over [`Stopped`], with a message under way.
fn stopped(tick_time: Duration) -> Sender {
    let options = ChannelOptions {
        tick_time,
        ..options(BOTH)
    };
    let (sender, mut receiver) = open(Stopped, options);
    tokio::spawn(async move { receiver.next().await });
    sender.try_send(&send(1, 2), Some(&Term::Int(1))).unwrap();
    sender
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_stopped_behind_tls_is_noticed_in_time() {
    use crate::dist::CloseReason;
    let tick_time = Duration::from_secs(60);
    let (sender, began) = (stopped(tick_time), tokio::time::Instant::now());
    let noticed = tokio::time::timeout(10 * tick_time, sender.closed()).await;
    assert_eq!(noticed, Ok(CloseReason::Silent(tick_time)));
    assert!(began.elapsed() < tick_time * 5 / 4);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_peer_is_stopped_behind_tls_can_be_closed() {
    use crate::dist::CloseReason;
    let sender = stopped(Duration::from_secs(3600));
    // The task that writes is to be where it waits for the peer.
    tokio::time::sleep(Duration::from_secs(1)).await;
    sender.close(CloseReason::Local);
    let ended = tokio::time::timeout(Duration::from_secs(2), sender.closed()).await;
    assert_eq!(ended, Ok(CloseReason::Local));
}
