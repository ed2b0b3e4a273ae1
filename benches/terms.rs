//! The term codec beside eetf's, on the message that `make bench` also sends to real nodes.
//!
//! Prints terms a second and, for what a reader takes away, the ratio of the two in the same run.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use rendez::etf::{Aside, Atom, Decoder, Limits, Term, decode, encode, encode_into};

/// A message's table of atoms.
struct Table<'a>(&'a [Atom]);

impl Aside for Table<'_> {
    fn atom(&mut self, atom: &Atom) -> Option<u8> {
        let index = self.0.iter().position(|known| known == atom)?;
        u8::try_from(index).ok()
    }

    fn binary(&mut self, _: &[u8], _: &Bytes) -> bool {
        false
    }
}

/// `{m, {user, 42, <<"hello">>, [a, b, 1.5]}}`
fn message() -> Term {
    let list = vec![Term::atom("a"), Term::atom("b"), Term::Float(1.5)];
    let user = [
        Term::atom("user"),
        Term::Int(42),
        Term::binary(&b"hello"[..]),
        list.into(),
    ];
    Term::Tuple(vec![Term::atom("m"), Term::Tuple(user.into())])
}

/// Runs each in turns and gives the best rate of each, so that a slow moment of the machine hits both.
fn rates(count: u32, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (f64, f64) {
    let rate = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..count {
            work();
        }
        f64::from(count) / start.elapsed().as_secs_f64()
    };
    let (mut best_ours, mut best_theirs) = (0.0_f64, 0.0_f64);
    for _ in 0..7 {
        best_ours = best_ours.max(rate(&mut ours));
        best_theirs = best_theirs.max(rate(&mut theirs));
    }
    (best_ours, best_theirs)
}

fn report(what: &str, (ours, theirs): (f64, f64)) {
    println!(
        "{what:<24} ours {:>7.2} M/s   eetf {:>7.2} M/s   ours/eetf {:.1}",
        ours / 1e6,
        theirs / 1e6,
        ours / theirs
    );
}

fn main() {
    let term = message();
    let bytes = Bytes::from(encode(&term).expect("a term"));
    let theirs = eetf::Term::decode(&bytes[..]).expect("a term");
    report(
        "decode a small message",
        rates(
            200_000,
            || drop(black_box(decode(black_box(&bytes)))),
            || drop(black_box(eetf::Term::decode(black_box(&bytes[..])))),
        ),
    );
    // As it comes over a connection: the atoms are in the message's header. eetf has none of that.
    let atoms = ["m", "user", "a", "b"].map(Atom::new);
    let mut cached = Vec::new();
    encode_into(&term, &mut cached, &mut Table(&atoms)).expect("a term");
    report(
        "the same, atoms cached",
        rates(
            200_000,
            || {
                let mut decoder = Decoder::new(black_box(&cached), &atoms, Limits::default());
                drop(black_box(decoder.term()));
            },
            || drop(black_box(eetf::Term::decode(black_box(&bytes[..])))),
        ),
    );
    report(
        "encode a small message",
        rates(
            200_000,
            || drop(black_box(encode(black_box(&term)))),
            || {
                let mut out = Vec::new();
                let _ = black_box(&theirs).encode(&mut out);
                drop(black_box(out));
            },
        ),
    );
    let binary = Bytes::from(encode(&Term::binary(vec![7; 1 << 20])).expect("a term"));
    report(
        "decode a 1 MiB binary",
        rates(
            200,
            || drop(black_box(decode(black_box(&binary)))),
            || drop(black_box(eetf::Term::decode(black_box(&binary[..])))),
        ),
    );
}
