//! Terms on their way in and out: what `eetf` has to be kept from, and what it cannot be given.
//!
//! `eetf` decodes by recursion, makes room for as many elements as a length claims, and panics on a few
//! tags. [`check`] walks the bytes first, without recursion and without making room for anything, and
//! lets through only what decodes in space that its own length bounds. [`sendable`] does the same favour
//! in the other direction: it puts terms that `eetf` would write wrongly into a form that it writes well.
//!
//! Source of the format: [external term format](https://www.erlang.org/doc/apps/erts/erl_ext_dist.html).

use eetf::{Binary, FixInteger, ImproperList, List, Term};

/// How deep a term may be nested. Decoding at this depth fits a stack of 2 MiB with room to spare.
pub const MAX_DEPTH: usize = 256;

/// The most characters that an atom can have. The BEAM ends the connection that brings a longer one.
const MAX_ATOM_CHARS: usize = crate::name::MAX_CHARS;

/// Why bytes are not taken for a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end within the term.
    #[error("the bytes end within the term")]
    Truncated,
    /// The first byte is not the version of the format, 131.
    #[error("the version of the format is {0} where 131 was expected")]
    Version(u8),
    /// A tag that is unknown, or that was not agreed on: compressed terms, cached atoms, headers.
    #[error("the tag {0} is not known or was not agreed on")]
    Tag(u8),
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("it is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The last byte of a bit string says that it has no bits, or more than eight.
    #[error("a bit string has {0} bits in its last byte")]
    TailBits(u8),
}

/// What is left to read of a container.
enum Open {
    /// This many terms.
    Terms(usize),
    /// This many bytes: those that follow the node in a pid, port or reference.
    Bytes(usize),
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.rest = self.rest.get(count..).ok_or(Malformed::Truncated)?;
        Ok(())
    }

    fn number<const BYTES: usize>(&mut self) -> Result<usize, Malformed> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<BYTES>()
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.rest.split_first().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }
}

/// Checks the term, with its version byte, that `bytes` begin with, and says how many bytes it has.
///
/// # Errors
/// See [`Malformed`].
pub fn check(bytes: &[u8]) -> Result<usize, Malformed> {
    let mut reader = Reader { rest: bytes };
    match reader.byte()? {
        131 => {}
        other => return Err(Malformed::Version(other)),
    }
    let mut open = vec![Open::Terms(1)];
    while let Some(innermost) = open.last_mut() {
        match innermost {
            Open::Bytes(count) => {
                reader.skip(*count)?;
                open.pop();
            }
            Open::Terms(0) => {
                open.pop();
            }
            Open::Terms(count) => {
                *count -= 1;
                let (trailer, terms) = enter(&mut reader)?;
                // A term has at least one byte: a length that lies ends here, before room is made for it.
                if terms > reader.rest.len() {
                    return Err(Malformed::Truncated);
                }
                if trailer > 0 {
                    open.push(Open::Bytes(trailer));
                }
                if terms > 0 {
                    open.push(Open::Terms(terms));
                }
                if open.len() > MAX_DEPTH {
                    return Err(Malformed::TooDeep);
                }
            }
        }
    }
    Ok(bytes.len() - reader.rest.len())
}

/// Reads a tag and what follows it up to the first term inside. Gives the bytes that follow the terms
/// inside, and how many terms that are.
fn enter(reader: &mut Reader<'_>) -> Result<(usize, usize), Malformed> {
    let leaf = (0, 0);
    Ok(match reader.byte()? {
        // NEW_FLOAT, SMALL_INTEGER, INTEGER, FLOAT, NIL
        70 => reader.skip(8).map(|()| leaf)?,
        97 => reader.skip(1).map(|()| leaf)?,
        98 => reader.skip(4).map(|()| leaf)?,
        99 => reader.skip(31).map(|()| leaf)?,
        106 => leaf,
        // ATOM and ATOM_UTF8, their small forms, STRING, BINARY
        100 | 118 | 107 => {
            let length = reader.number::<2>()?;
            reader.skip(length).map(|()| leaf)?
        }
        115 | 119 => {
            let length = reader.number::<1>()?;
            reader.skip(length).map(|()| leaf)?
        }
        109 => {
            let length = reader.number::<4>()?;
            reader.skip(length).map(|()| leaf)?
        }
        // BIT_BINARY
        77 => {
            let length = reader.number::<4>()?;
            match reader.byte()? {
                1..=8 => reader.skip(length).map(|()| leaf)?,
                bits => return Err(Malformed::TailBits(bits)),
            }
        }
        // SMALL_BIG, LARGE_BIG: a sign and the digits
        110 => {
            let length = reader.number::<1>()?;
            reader.skip(length + 1).map(|()| leaf)?
        }
        111 => {
            let length = reader.number::<4>()?;
            reader.skip(length + 1).map(|()| leaf)?
        }
        // REFERENCE, PORT, PID, NEW_PID, NEW_PORT, V4_PORT: a node and numbers
        101 | 102 => (5, 1),
        103 => (9, 1),
        88 | 120 => (12, 1),
        89 => (8, 1),
        // NEW_REFERENCE, NEWER_REFERENCE: their length, a node, the creation and the words
        114 => (1 + 4 * reader.number::<2>()?, 1),
        90 => (4 + 4 * reader.number::<2>()?, 1),
        // SMALL_TUPLE, LARGE_TUPLE, LIST with its tail, MAP with keys and values
        104 => (0, reader.number::<1>()?),
        105 => (0, reader.number::<4>()?),
        108 => (0, reader.number::<4>()?.saturating_add(1)),
        116 => (0, reader.number::<4>()?.saturating_mul(2)),
        // EXPORT: module, function, arity
        113 => (0, 3),
        // NEW_FUN: size, arity, uniq, index, the number of free variables; module, two numbers, a pid, they
        112 => {
            reader.skip(4 + 1 + 16 + 4)?;
            (0, reader.number::<4>()?.saturating_add(4))
        }
        // FUN: the number of free variables; a pid, a module, two numbers, they
        117 => (0, reader.number::<4>()?.saturating_add(4)),
        tag => return Err(Malformed::Tag(tag)),
    })
}

/// Why a term cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsendable {
    /// An atom is longer than atoms can be.
    #[error("an atom has at most {MAX_ATOM_CHARS} characters; one that begins with {0:?} has more")]
    AtomTooLong(String),
}

/// Puts a term into a form that `eetf` writes correctly: lists of small integers that hold negative ones,
/// strings longer than 65,535 bytes, and bit strings of whole bytes.
///
/// # Errors
/// See [`Unsendable`].
pub fn sendable(term: Term) -> Result<Term, Unsendable> {
    let all = |terms: Vec<Term>| {
        terms
            .into_iter()
            .map(sendable)
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(match term {
        Term::List(list) => {
            let elements = all(list.elements)?;
            let is_negative =
                |term: &Term| matches!(term, Term::FixInteger(integer) if integer.value < 0);
            if elements.iter().any(is_negative) {
                // `eetf` takes any list of integers below 256 for a string of bytes. It does not take
                // this form for one, which says the same.
                let last = Box::new(List::nil().into());
                ImproperList { elements, last }.into()
            } else {
                List { elements }.into()
            }
        }
        Term::ByteList(list) if list.bytes.len() > usize::from(u16::MAX) => {
            let elements = list.bytes.into_iter().map(FixInteger::from);
            List::from(elements.map(Term::from).collect::<Vec<_>>()).into()
        }
        Term::BitBinary(bits) if !(1..8).contains(&bits.tail_bits_size) => {
            Binary { bytes: bits.bytes }.into()
        }
        Term::ImproperList(list) => {
            let elements = all(list.elements)?;
            let last = Box::new(sendable(*list.last)?);
            ImproperList { elements, last }.into()
        }
        Term::Tuple(tuple) => eetf::Tuple {
            elements: all(tuple.elements)?,
        }
        .into(),
        Term::Map(map) => {
            let pairs = map.map.into_iter();
            let pairs = pairs.map(|(key, value)| Ok((sendable(key)?, sendable(value)?)));
            eetf::Map {
                map: pairs.collect::<Result<_, Unsendable>>()?,
            }
            .into()
        }
        Term::Atom(atom) if atom.name.chars().count() > MAX_ATOM_CHARS => {
            return Err(Unsendable::AtomTooLong(
                atom.name.chars().take(20).collect(),
            ));
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use eetf::{Atom, BitBinary, ByteList, Float, Pid, Reference, Tuple};

    fn encoded(term: &Term) -> Vec<u8> {
        let mut bytes = Vec::new();
        term.encode(&mut bytes).unwrap();
        bytes
    }

    fn samples() -> Vec<Term> {
        let atom = || Term::from(Atom::from("a"));
        vec![
            atom(),
            FixInteger::from(7).into(),
            FixInteger::from(-70_000).into(),
            eetf::BigInteger::from(1_u64 << 63).into(),
            Float { value: 1.5 }.into(),
            Pid::new("a@b", 1, 2, 3).into(),
            Reference::from(("a@b", vec![1, 2, 3])).into(),
            eetf::Port::from(("a@b", 9)).into(),
            eetf::ExternalFun::from(("lists", "map", 2)).into(),
            Binary::from(&b"abc"[..]).into(),
            BitBinary::from((vec![1, 2], 3)).into(),
            ByteList::from("text").into(),
            List::nil().into(),
            List::from(vec![atom(), List::from(vec![atom()]).into()]).into(),
            ImproperList::from((vec![atom()], atom())).into(),
            Tuple::from(vec![atom(), Tuple::from(vec![]).into()]).into(),
            eetf::Map::from([(atom(), atom())]).into(),
        ]
    }

    #[test]
    fn what_eetf_writes_passes_and_its_length_is_known() {
        for term in samples() {
            let mut bytes = encoded(&term);
            let length = bytes.len();
            bytes.extend_from_slice(b"what follows");
            assert_eq!(check(&bytes), Ok(length), "{term}");
        }
    }

    #[test]
    fn no_prefix_passes() {
        for term in samples() {
            let bytes = encoded(&term);
            for end in 0..bytes.len() {
                assert_eq!(check(&bytes[..end]), Err(Malformed::Truncated), "{term}");
            }
        }
    }

    #[test]
    fn what_would_make_eetf_panic_or_swell_is_refused() {
        for (bytes, why) in [
            (&[131, 82, 0][..], Malformed::Tag(82)),
            (&[131, 68, 0], Malformed::Tag(68)),
            (&[131, 80, 0, 0, 0, 9, 0x78], Malformed::Tag(80)),
            (&[130, 106], Malformed::Version(130)),
            (&[131, 77, 0, 0, 0, 1, 0, 1], Malformed::TailBits(0)),
            (&[131, 77, 0, 0, 0, 1, 9, 1], Malformed::TailBits(9)),
            (&[131, 108, 255, 255, 255, 255, 106], Malformed::Truncated),
            (&[131, 105, 255, 255, 255, 255], Malformed::Truncated),
            (&[131, 116, 255, 255, 255, 255], Malformed::Truncated),
            (&[131, 109, 255, 255, 255, 255], Malformed::Truncated),
            (&[131, 111, 255, 255, 255, 255, 0], Malformed::Truncated),
        ] {
            assert_eq!(check(bytes), Err(why), "{bytes:?}");
        }
    }

    /// Tuples of one element, nested.
    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = vec![131];
        for _ in 0..depth {
            bytes.extend_from_slice(&[104, 1]);
        }
        bytes.push(106);
        bytes
    }

    #[test]
    fn depth_is_bounded_and_the_deepest_term_decodes_on_a_small_stack() {
        assert_eq!(check(&nested(100_000)), Err(Malformed::TooDeep));
        let deepest = nested(MAX_DEPTH - 1);
        assert_eq!(check(&deepest), Ok(deepest.len()));
        assert_eq!(check(&nested(MAX_DEPTH)), Err(Malformed::TooDeep));
        let decode = move || Term::decode(&deepest[..]).is_ok();
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        assert!(thread.spawn(decode).unwrap().join().unwrap());
    }

    #[test]
    fn lists_that_eetf_writes_wrongly_are_put_right() {
        let integers = |values: &[i32]| -> Term {
            let integers = values.iter().map(|&value| FixInteger { value }.into());
            List::from(integers.collect::<Vec<_>>()).into()
        };
        let bytes = encoded(&sendable(integers(&[-1, 2])).unwrap());
        // LIST_EXT of two integers and nil, where a string of bytes would say [255, 2].
        let expected: &[u8] = &[131, 108, 0, 0, 0, 2, 98, 255, 255, 255, 255, 97, 2, 106];
        assert_eq!(bytes, expected);

        let long = Term::from(ByteList::from(vec![7; 70_000]));
        let bytes = encoded(&sendable(long).unwrap());
        assert_eq!(check(&bytes), Ok(bytes.len()));
        assert_eq!(bytes[1], 108);

        let whole = Term::from(BitBinary::from((vec![1, 2], 0)));
        let binary = Term::from(Binary::from(&[1, 2][..]));
        assert_eq!(sendable(whole), Ok(binary));
    }

    #[test]
    fn atoms_longer_than_the_beam_takes_are_kept_back() {
        let atom = |length| Term::from(Atom::from("ö".repeat(length)));
        let inside = |term| Term::from(Tuple::from(vec![term]));
        assert!(sendable(inside(atom(255))).is_ok());
        assert!(sendable(inside(atom(256))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_refused_or_decode_within_their_length(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        ) {
            let bytes = [&[131][..], &bytes].concat();
            if let Ok(length) = check(&bytes) {
                assert!(length <= bytes.len());
                // It may still be refused (a float that is none), but neither panics nor swells.
                let _ = Term::decode(&bytes[..length]);
            }
        }
    }
}
