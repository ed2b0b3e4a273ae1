//! Terms to bytes, as OTP writes them.

use std::slice;

use bytes::Bytes;
use num_bigint::{BigInt, Sign};

use super::atom::Atom;
use super::tags::{self, MAX_ARITY, MAX_INTEGER_BYTES, MAX_WORDS, SMALL_INTEGERS};
use super::term::{BitString, Fun, Pid, Port, Reference, Term};

/// What an encoder need not write in place: atoms can go to the table of a distribution header, and
/// large binaries to the socket straight from where they are.
pub trait Aside {
    /// The message's index of the atom, or `None` when it is to be written in place.
    fn atom(&mut self, atom: &Atom) -> Option<u8>;

    /// Takes the bytes of a binary, which belong after what is in `out`, or says `false` when they are
    /// to be written in place.
    fn binary(&mut self, out: &[u8], bytes: &Bytes) -> bool;

    /// Whether the reader knows ports of 64 bits and references of 5 words: the flag `V4_NC`, of OTP 24.
    fn reads_wide_numbers(&self) -> bool {
        true
    }
}

/// Everything is written in place.
#[derive(Debug, Clone, Copy, Default)]
pub struct InPlace;

impl Aside for InPlace {
    fn atom(&mut self, _: &Atom) -> Option<u8> {
        None
    }

    fn binary(&mut self, _: &[u8], _: &Bytes) -> bool {
        false
    }
}

/// Why a term cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A binary, list or map of 4 Gi elements or more, or a tuple of 16 Mi.
    #[error("something in the term has more elements than Erlang can count")]
    TooLarge,
    /// A value that no node could read: it would take the whole message for damaged, and disconnect.
    #[error("{0}")]
    Value(&'static str),
    /// A float that is infinite or not a number: Erlang has none.
    #[error("Erlang has no infinite float and no NaN")]
    Float,
}

/// Writes a term with its leading version byte.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode(term: &Term) -> Result<Vec<u8>, EncodeError> {
    // Most terms are small: one reservation instead of four.
    let mut out = Vec::with_capacity(64);
    out.push(tags::VERSION);
    encode_into(term, &mut out, &mut InPlace)?;
    Ok(out)
}

/// Writes a term without a version byte.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode_into(
    term: &Term,
    out: &mut Vec<u8>,
    aside: &mut impl Aside,
) -> Result<(), EncodeError> {
    let Some(mut current) = put(term, out, aside, 0)? else {
        return Ok(());
    };
    // What is around the current term. A stack of our own: a term may nest deeper than a thread has stack.
    let mut outer: Vec<Open<'_>> = Vec::new();
    let mut funs = current.end.is_of_fun();
    loop {
        if let Some(part) = current.next() {
            if let Some(inner) = put(part, out, aside, funs)? {
                funs += inner.end.is_of_fun();
                outer.push(std::mem::replace(&mut current, inner));
            }
            continue;
        }
        match current.end {
            End::Nothing | End::Tail(_) => {}
            End::Nil => out.push(tags::NIL),
            End::Fun(start) => end_fun(start, out)?,
        }
        funs -= current.end.is_of_fun();
        match outer.pop() {
            Some(before) => current = before,
            None => return Ok(()),
        }
    }
}

/// A term whose head has been written.
struct Open<'a> {
    parts: Parts<'a>,
    end: End<'a>,
}

enum Parts<'a> {
    Terms(slice::Iter<'a, Term>),
    /// The pairs that follow, and the value of the key that has been written.
    Pairs(slice::Iter<'a, (Term, Term)>, Option<&'a Term>),
}

/// What is written after the parts of a term.
enum End<'a> {
    Nothing,
    Nil,
    Tail(&'a Term),
    /// The size of a fun, at this place.
    Fun(usize),
}

impl End<'_> {
    /// 1 if it is a fun's, else 0.
    fn is_of_fun(&self) -> usize {
        usize::from(matches!(self, Self::Fun(_)))
    }
}

impl<'a> Open<'a> {
    fn terms(terms: &'a [Term], end: End<'a>) -> Self {
        Self {
            parts: Parts::Terms(terms.iter()),
            end,
        }
    }

    #[inline]
    fn next(&mut self) -> Option<&'a Term> {
        match &mut self.parts {
            Parts::Terms(terms) => terms.next().or_else(|| match self.end {
                End::Tail(tail) => {
                    self.end = End::Nothing;
                    Some(tail)
                }
                _ => None,
            }),
            Parts::Pairs(pairs, value) => value.take().or_else(|| {
                let (key, after) = pairs.next()?;
                *value = Some(after);
                Some(key)
            }),
        }
    }
}

/// Writes a term, or its head if it holds others. `funs` is how many funs it is in.
#[inline]
fn put<'a>(
    term: &'a Term,
    out: &mut Vec<u8>,
    aside: &mut impl Aside,
    funs: usize,
) -> Result<Option<Open<'a>>, EncodeError> {
    match term {
        Term::Atom(atom) => put_atom(atom, out, aside),
        Term::Int(int) => put_int(*int, out),
        term => return put_other(term, out, aside, funs),
    }
    Ok(None)
}

fn put_other<'a>(
    term: &'a Term,
    out: &mut Vec<u8>,
    aside: &mut impl Aside,
    funs: usize,
) -> Result<Option<Open<'a>>, EncodeError> {
    match term {
        Term::Atom(atom) => put_atom(atom, out, aside),
        Term::Int(int) => put_int(*int, out),
        Term::BigInt(int) => put_big(int, out)?,
        Term::Float(float) => {
            if !float.is_finite() {
                return Err(EncodeError::Float);
            }
            let [a, b, c, d, e, f, g, h] = float.to_be_bytes();
            out.extend_from_slice(&[tags::NEW_FLOAT, a, b, c, d, e, f, g, h]);
        }
        Term::Binary(bytes) => {
            put_header(tags::BINARY, bytes.len(), out)?;
            // In a fun, whose size is not known yet, everything is written in place.
            if funs > 0 || !aside.binary(out, bytes) {
                out.extend_from_slice(bytes);
            }
        }
        Term::BitString(bits) => put_bits(bits, out)?,
        Term::List(elements) if elements.is_empty() => out.push(tags::NIL),
        Term::List(elements) => {
            if !put_string(elements, out) {
                put_header(tags::LIST, elements.len(), out)?;
                return Ok(Some(Open::terms(elements, End::Nil)));
            }
        }
        Term::ImproperList(list) => {
            if !list.elements.is_empty() {
                put_header(tags::LIST, list.elements.len(), out)?;
            }
            return Ok(Some(Open::terms(&list.elements, End::Tail(&list.tail))));
        }
        Term::Tuple(elements) => {
            if let Ok(arity) = u8::try_from(elements.len()) {
                out.extend_from_slice(&[tags::SMALL_TUPLE, arity]);
            } else if elements.len() <= MAX_ARITY {
                put_header(tags::LARGE_TUPLE, elements.len(), out)?;
            } else {
                return Err(EncodeError::TooLarge);
            }
            return Ok(Some(Open::terms(elements, End::Nothing)));
        }
        Term::Map(map) => {
            put_header(tags::MAP, map.len(), out)?;
            return Ok(Some(Open {
                parts: Parts::Pairs(map.iter(), None),
                end: End::Nothing,
            }));
        }
        Term::Pid(pid) => put_pid(pid, out, aside),
        Term::Port(port) => put_port(port, out, aside)?,
        Term::Reference(reference) => put_reference(reference, out, aside)?,
        Term::Export(export) => {
            out.push(tags::EXPORT);
            put_atom(&export.module, out, aside);
            put_atom(&export.function, out, aside);
            out.push(tags::SMALL_INTEGER);
            out.push(export.arity);
        }
        Term::Fun(fun) => return put_fun(fun, out, aside).map(Some),
    }
    Ok(None)
}

fn put_big(int: &BigInt, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if i64::try_from(int).is_ok() {
        return Err(EncodeError::Value(
            "an integer of 64 bits is held as a larger one; make it with Term::integer",
        ));
    }
    if int.bits() > MAX_INTEGER_BYTES as u64 * 8 {
        return Err(EncodeError::Value(
            "an integer has more than 4,194,240 bits, the most that Erlang has",
        ));
    }
    let (sign, digits) = int.to_bytes_le();
    if let Ok(length) = u8::try_from(digits.len()) {
        out.extend_from_slice(&[tags::SMALL_BIG, length]);
    } else {
        put_header(tags::LARGE_BIG, digits.len(), out)?;
    }
    out.push(u8::from(sign == Sign::Minus));
    out.extend_from_slice(&digits);
    Ok(())
}

fn put_bits(bits: &BitString, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (Some((last, whole)), 1..=7) = (bits.bytes.split_last(), bits.last_bits) else {
        return Err(EncodeError::Value(
            "a bit string has from 1 to 7 bits in its last byte; whole bytes are a binary",
        ));
    };
    put_header(tags::BIT_BINARY, bits.bytes.len(), out)?;
    out.push(bits.last_bits);
    out.extend_from_slice(whole);
    out.push(last & !(0xff >> bits.last_bits));
    Ok(())
}

/// Writes an atom.
pub fn put_atom(atom: &Atom, out: &mut Vec<u8>, aside: &mut impl Aside) {
    if let Some(index) = aside.atom(atom) {
        out.extend_from_slice(&[tags::ATOM_CACHE_REF, index]);
        return;
    }
    let text = atom.as_str().as_bytes();
    if let Ok(length) = u8::try_from(text.len()) {
        out.extend_from_slice(&[tags::SMALL_ATOM_UTF8, length]);
    } else {
        out.push(tags::ATOM_UTF8);
        // At most 255 characters of at most 4 bytes.
        out.extend_from_slice(&(u16::try_from(text.len()).unwrap_or(u16::MAX)).to_be_bytes());
    }
    out.extend_from_slice(text);
}

/// Writes a pid.
pub fn put_pid(pid: &Pid, out: &mut Vec<u8>, aside: &mut impl Aside) {
    out.push(tags::NEW_PID);
    put_atom(&pid.node, out, aside);
    out.extend_from_slice(&pid.id.to_be_bytes());
    out.extend_from_slice(&pid.serial.to_be_bytes());
    out.extend_from_slice(&pid.creation.to_be_bytes());
}

/// Writes an integer in its shortest form.
pub fn put_int(int: i64, out: &mut Vec<u8>) {
    if let Ok(byte) = u8::try_from(int) {
        out.extend_from_slice(&[tags::SMALL_INTEGER, byte]);
    } else if let Ok(word) = i32::try_from(int) {
        let [a, b, c, d] = word.to_be_bytes();
        out.extend_from_slice(&[tags::INTEGER, a, b, c, d]);
    } else {
        let digits = int.unsigned_abs().to_le_bytes();
        let length = digits
            .iter()
            .rposition(|&digit| digit != 0)
            .map_or(1, |last| last + 1);
        out.push(tags::SMALL_BIG);
        out.push(u8::try_from(length).unwrap_or(8));
        out.push(u8::from(int < 0));
        out.extend_from_slice(&digits[..length]);
    }
}

/// Writes a tag and the count of what follows. Whatever is written in one piece is written faster:
/// each piece asks for room.
#[inline]
fn put_header(tag: u8, length: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length = u32::try_from(length).map_err(|_| EncodeError::TooLarge)?;
    let [a, b, c, d] = length.to_be_bytes();
    out.extend_from_slice(&[tag, a, b, c, d]);
    Ok(())
}

fn put_length(length: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend_from_slice(
        &(u32::try_from(length).map_err(|_| EncodeError::TooLarge)?).to_be_bytes(),
    );
    Ok(())
}

/// Writes a list of at most 65,535 bytes as a string, as OTP does; says whether it was one.
fn put_string(elements: &[Term], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(elements.len()) else {
        return false;
    };
    // Most lists are told apart by their first element.
    let byte = |term: &Term| term.as_int().and_then(|int| u8::try_from(int).ok());
    if !elements.iter().all(|element| byte(element).is_some()) {
        return false;
    }
    out.push(tags::STRING);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(elements.iter().map(|element| byte(element).unwrap_or(0)));
    true
}

/// The most that a port's number can be for a node that does not know `V4_NC`: 28 bits.
const MAX_OLD_PORT: u64 = (1 << 28) - 1;
/// The most words that a reference can have for such a node.
const MAX_OLD_WORDS: usize = 3;

fn put_port(port: &Port, out: &mut Vec<u8>, aside: &mut impl Aside) -> Result<(), EncodeError> {
    if aside.reads_wide_numbers() {
        // The wide form, as OTP 26 and later write it whatever the number; OTP 24 and later read it.
        out.push(tags::V4_PORT);
        put_atom(&port.node, out, aside);
        out.extend_from_slice(&port.id.to_be_bytes());
    } else {
        let id = u32::try_from(port.id).ok();
        let Some(id) = id.filter(|&id| u64::from(id) <= MAX_OLD_PORT) else {
            return Err(EncodeError::Value(
                "a port has a number of more than 28 bits, which a node before OTP 24 cannot read",
            ));
        };
        out.push(tags::NEW_PORT);
        put_atom(&port.node, out, aside);
        out.extend_from_slice(&id.to_be_bytes());
    }
    out.extend_from_slice(&port.creation.to_be_bytes());
    Ok(())
}

/// Writes a reference.
///
/// # Errors
/// [`EncodeError::Value`] for one of no words, or of more than its reader takes: 5, or 3 before OTP 24.
pub fn put_reference(
    reference: &Reference,
    out: &mut Vec<u8>,
    aside: &mut impl Aside,
) -> Result<(), EncodeError> {
    let most = if aside.reads_wide_numbers() {
        MAX_WORDS
    } else {
        MAX_OLD_WORDS
    };
    let words = match u16::try_from(reference.id.len()) {
        Ok(words @ 1..) if reference.id.len() <= most => words,
        _ => {
            return Err(EncodeError::Value(
                "a reference has from 1 to 5 words, and to a node before OTP 24 at most 3",
            ));
        }
    };
    out.push(tags::NEWER_REFERENCE);
    out.extend_from_slice(&words.to_be_bytes());
    put_atom(&reference.node, out, aside);
    out.extend_from_slice(&reference.creation.to_be_bytes());
    for word in &reference.id {
        out.extend_from_slice(&word.to_be_bytes());
    }
    Ok(())
}

/// Writes the head of a fun, with room for its size, which counts itself.
fn put_fun<'a>(
    fun: &'a Fun,
    out: &mut Vec<u8>,
    aside: &mut impl Aside,
) -> Result<Open<'a>, EncodeError> {
    if !SMALL_INTEGERS.contains(&fun.old_index) || !SMALL_INTEGERS.contains(&fun.old_uniq) {
        return Err(EncodeError::Value(
            "the old index and the old uniq of a fun have at most 60 bits",
        ));
    }
    out.push(tags::NEW_FUN);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(fun.arity);
    out.extend_from_slice(&fun.uniq);
    out.extend_from_slice(&fun.index.to_be_bytes());
    put_length(fun.free.len(), out)?;
    put_atom(&fun.module, out, aside);
    put_int(fun.old_index, out);
    put_int(fun.old_uniq, out);
    put_pid(&fun.pid, out, aside);
    Ok(Open::terms(&fun.free, End::Fun(start)))
}

/// Writes the size of a fun to its place.
fn end_fun(start: usize, out: &mut [u8]) -> Result<(), EncodeError> {
    let size = u32::try_from(out.len() - start).map_err(|_| EncodeError::TooLarge)?;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&size.to_be_bytes());
    }
    Ok(())
}
