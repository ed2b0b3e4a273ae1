//! Terms to bytes, as OTP writes them.

use bytes::Bytes;
use num_bigint::Sign;

use super::atom::Atom;
use super::tags;
use super::term::{Fun, Pid, Port, Reference, Term};

/// What an encoder need not write in place: atoms can go to the table of a distribution header, and
/// large binaries to the socket straight from where they are.
pub trait Aside {
    /// The message's index of the atom, or `None` when it is to be written in place.
    fn atom(&mut self, atom: &Atom) -> Option<u8>;

    /// Takes the bytes of a binary, which belong after what is in `out`, or says `false` when they are
    /// to be written in place.
    fn binary(&mut self, out: &[u8], bytes: &Bytes) -> bool;
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
    /// A binary, list, tuple or map of 4 Gi elements or more, or a reference of 64 Ki words.
    #[error("something in the term has more elements than the format can count")]
    TooLarge,
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
    match term {
        Term::Atom(atom) => put_atom(atom, out, aside),
        Term::Int(int) => put_int(*int, out),
        Term::BigInt(int) => {
            let (sign, digits) = int.to_bytes_le();
            if let Ok(length) = u8::try_from(digits.len()) {
                out.extend_from_slice(&[tags::SMALL_BIG, length]);
            } else {
                put_header(tags::LARGE_BIG, digits.len(), out)?;
            }
            out.push(u8::from(sign == Sign::Minus));
            out.extend_from_slice(&digits);
        }
        Term::Float(float) => {
            if !float.is_finite() {
                return Err(EncodeError::Float);
            }
            let [a, b, c, d, e, f, g, h] = float.to_be_bytes();
            out.extend_from_slice(&[tags::NEW_FLOAT, a, b, c, d, e, f, g, h]);
        }
        Term::Binary(bytes) => {
            put_header(tags::BINARY, bytes.len(), out)?;
            if !aside.binary(out, bytes) {
                out.extend_from_slice(bytes);
            }
        }
        Term::BitString(bits) => {
            put_header(tags::BIT_BINARY, bits.bytes.len(), out)?;
            out.push(bits.last_bits);
            out.extend_from_slice(&bits.bytes);
        }
        Term::List(elements) if elements.is_empty() => out.push(tags::NIL),
        Term::List(elements) => {
            if !put_string(elements, out) {
                put_header(tags::LIST, elements.len(), out)?;
                put_all(elements, out, aside)?;
                out.push(tags::NIL);
            }
        }
        Term::ImproperList(list) => {
            put_header(tags::LIST, list.elements.len(), out)?;
            put_all(&list.elements, out, aside)?;
            encode_into(&list.tail, out, aside)?;
        }
        Term::Tuple(elements) => {
            if let Ok(arity) = u8::try_from(elements.len()) {
                out.extend_from_slice(&[tags::SMALL_TUPLE, arity]);
            } else {
                put_header(tags::LARGE_TUPLE, elements.len(), out)?;
            }
            put_all(elements, out, aside)?;
        }
        Term::Map(map) => {
            put_header(tags::MAP, map.0.len(), out)?;
            for (key, value) in &map.0 {
                put(key, out, aside)?;
                put(value, out, aside)?;
            }
        }
        Term::Pid(pid) => put_pid(pid, out, aside),
        Term::Port(port) => put_port(port, out, aside),
        Term::Reference(reference) => put_reference(reference, out, aside)?,
        Term::Export(export) => {
            out.push(tags::EXPORT);
            put_atom(&export.module, out, aside);
            put_atom(&export.function, out, aside);
            out.push(tags::SMALL_INTEGER);
            out.push(export.arity);
        }
        Term::Fun(fun) => put_fun(fun, out, aside)?,
    }
    Ok(())
}

fn put_all(terms: &[Term], out: &mut Vec<u8>, aside: &mut impl Aside) -> Result<(), EncodeError> {
    for term in terms {
        put(term, out, aside)?;
    }
    Ok(())
}

/// As [`encode_into`], with what most terms consist of in line.
#[inline]
fn put(term: &Term, out: &mut Vec<u8>, aside: &mut impl Aside) -> Result<(), EncodeError> {
    match term {
        Term::Atom(atom) => put_atom(atom, out, aside),
        Term::Int(int) => put_int(*int, out),
        term => return encode_into(term, out, aside),
    }
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

fn put_port(port: &Port, out: &mut Vec<u8>, aside: &mut impl Aside) {
    // The wide form, as OTP 26 and later write it whatever the number; OTP 24 and later read it.
    out.push(tags::V4_PORT);
    put_atom(&port.node, out, aside);
    out.extend_from_slice(&port.id.to_be_bytes());
    out.extend_from_slice(&port.creation.to_be_bytes());
}

/// Writes a reference.
///
/// # Errors
/// [`EncodeError::TooLarge`] for one of more words than the format can count.
pub fn put_reference(
    reference: &Reference,
    out: &mut Vec<u8>,
    aside: &mut impl Aside,
) -> Result<(), EncodeError> {
    let words = u16::try_from(reference.id.len()).map_err(|_| EncodeError::TooLarge)?;
    out.push(tags::NEWER_REFERENCE);
    out.extend_from_slice(&words.to_be_bytes());
    put_atom(&reference.node, out, aside);
    out.extend_from_slice(&reference.creation.to_be_bytes());
    for word in &reference.id {
        out.extend_from_slice(&word.to_be_bytes());
    }
    Ok(())
}

/// Leaves binaries where they are: their place would be one in another buffer.
struct AtomsOnly<'a>(&'a mut dyn Aside);

impl Aside for AtomsOnly<'_> {
    fn atom(&mut self, atom: &Atom) -> Option<u8> {
        self.0.atom(atom)
    }

    fn binary(&mut self, _: &[u8], _: &Bytes) -> bool {
        false
    }
}

fn put_fun(fun: &Fun, out: &mut Vec<u8>, aside: &mut impl Aside) -> Result<(), EncodeError> {
    // The size comes first and counts itself, so the rest is written apart. Funs are rare.
    let aside = &mut AtomsOnly(aside);
    let mut rest = vec![fun.arity];
    rest.extend_from_slice(&fun.uniq);
    rest.extend_from_slice(&fun.index.to_be_bytes());
    put_length(fun.free.len(), &mut rest)?;
    put_atom(&fun.module, &mut rest, aside);
    put_int(fun.old_index, &mut rest);
    put_int(fun.old_uniq, &mut rest);
    put_pid(&fun.pid, &mut rest, aside);
    put_all(&fun.free, &mut rest, aside)?;
    out.push(tags::NEW_FUN);
    put_length(rest.len() + 4, out)?;
    out.extend_from_slice(&rest);
    Ok(())
}
