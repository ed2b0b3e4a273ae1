//! Terms to bytes, as OTP writes them.

use bytes::BufMut;
use num_bigint::Sign;

use super::atom::Atom;
use super::tags;
use super::term::{Fun, Pid, Port, Reference, Term};

/// Where an encoder puts atoms: in place, or in the table of a distribution header.
pub trait AtomSink {
    /// The message's index of the atom, or `None` when it is to be written in place.
    fn index(&mut self, atom: &Atom) -> Option<u8>;
}

/// Every atom is written in place.
#[derive(Debug, Clone, Copy, Default)]
pub struct InPlace;

impl AtomSink for InPlace {
    fn index(&mut self, _: &Atom) -> Option<u8> {
        None
    }
}

/// Why a term cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A binary, list, tuple or map of 4 Gi elements or more.
    #[error("{0} has more elements than the format can count")]
    TooLarge(&'static str),
    /// A float that is infinite or not a number: Erlang has none.
    #[error("Erlang has no infinite float and no NaN")]
    Float,
}

/// Writes a term with its leading version byte.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode(term: &Term) -> Result<Vec<u8>, EncodeError> {
    let mut out = vec![tags::VERSION];
    encode_into(term, &mut out, &mut InPlace)?;
    Ok(out)
}

/// Writes a term without a version byte.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode_into(
    term: &Term,
    out: &mut impl BufMut,
    atoms: &mut impl AtomSink,
) -> Result<(), EncodeError> {
    match term {
        Term::Atom(atom) => put_atom(atom, out, atoms),
        Term::Int(int) => put_int(*int, out),
        Term::BigInt(int) => {
            let (sign, digits) = int.to_bytes_le();
            if let Ok(length) = u8::try_from(digits.len()) {
                out.put_u8(tags::SMALL_BIG);
                out.put_u8(length);
            } else {
                out.put_u8(tags::LARGE_BIG);
                put_length(digits.len(), "an integer", out)?;
            }
            out.put_u8(u8::from(sign == Sign::Minus));
            out.put_slice(&digits);
        }
        Term::Float(float) => {
            if !float.is_finite() {
                return Err(EncodeError::Float);
            }
            out.put_u8(tags::NEW_FLOAT);
            out.put_f64(*float);
        }
        Term::Binary(bytes) => {
            out.put_u8(tags::BINARY);
            put_length(bytes.len(), "a binary", out)?;
            out.put_slice(bytes);
        }
        Term::BitString(bits) => {
            out.put_u8(tags::BIT_BINARY);
            put_length(bits.bytes.len(), "a bit string", out)?;
            out.put_u8(bits.last_bits);
            out.put_slice(&bits.bytes);
        }
        Term::List(elements) if elements.is_empty() => out.put_u8(tags::NIL),
        Term::List(elements) => {
            if !put_string(elements, out) {
                out.put_u8(tags::LIST);
                put_length(elements.len(), "a list", out)?;
                for element in elements {
                    encode_into(element, out, atoms)?;
                }
                out.put_u8(tags::NIL);
            }
        }
        Term::ImproperList(list) => {
            out.put_u8(tags::LIST);
            put_length(list.elements.len(), "a list", out)?;
            for element in &list.elements {
                encode_into(element, out, atoms)?;
            }
            encode_into(&list.tail, out, atoms)?;
        }
        Term::Tuple(elements) => {
            if let Ok(arity) = u8::try_from(elements.len()) {
                out.put_u8(tags::SMALL_TUPLE);
                out.put_u8(arity);
            } else {
                out.put_u8(tags::LARGE_TUPLE);
                put_length(elements.len(), "a tuple", out)?;
            }
            for element in elements {
                encode_into(element, out, atoms)?;
            }
        }
        Term::Map(map) => {
            out.put_u8(tags::MAP);
            put_length(map.0.len(), "a map", out)?;
            for (key, value) in &map.0 {
                encode_into(key, out, atoms)?;
                encode_into(value, out, atoms)?;
            }
        }
        Term::Pid(pid) => put_pid(pid, out, atoms),
        Term::Port(port) => put_port(port, out, atoms),
        Term::Reference(reference) => put_reference(reference, out, atoms)?,
        Term::Export(export) => {
            out.put_u8(tags::EXPORT);
            put_atom(&export.module, out, atoms);
            put_atom(&export.function, out, atoms);
            out.put_u8(tags::SMALL_INTEGER);
            out.put_u8(export.arity);
        }
        Term::Fun(fun) => put_fun(fun, out, atoms)?,
    }
    Ok(())
}

/// Writes an atom.
pub fn put_atom(atom: &Atom, out: &mut impl BufMut, atoms: &mut impl AtomSink) {
    if let Some(index) = atoms.index(atom) {
        out.put_u8(tags::ATOM_CACHE_REF);
        out.put_u8(index);
        return;
    }
    let text = atom.as_str().as_bytes();
    if let Ok(length) = u8::try_from(text.len()) {
        out.put_u8(tags::SMALL_ATOM_UTF8);
        out.put_u8(length);
    } else {
        out.put_u8(tags::ATOM_UTF8);
        // At most 255 characters of at most 4 bytes.
        out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    }
    out.put_slice(text);
}

/// Writes a pid.
pub fn put_pid(pid: &Pid, out: &mut impl BufMut, atoms: &mut impl AtomSink) {
    out.put_u8(tags::NEW_PID);
    put_atom(&pid.node, out, atoms);
    out.put_u32(pid.id);
    out.put_u32(pid.serial);
    out.put_u32(pid.creation);
}

/// Writes an integer in its shortest form.
pub fn put_int(int: i64, out: &mut impl BufMut) {
    if let Ok(byte) = u8::try_from(int) {
        out.put_u8(tags::SMALL_INTEGER);
        out.put_u8(byte);
    } else if let Ok(word) = i32::try_from(int) {
        out.put_u8(tags::INTEGER);
        out.put_i32(word);
    } else {
        let digits = int.unsigned_abs().to_le_bytes();
        let length = digits
            .iter()
            .rposition(|&digit| digit != 0)
            .map_or(1, |last| last + 1);
        out.put_u8(tags::SMALL_BIG);
        out.put_u8(u8::try_from(length).unwrap_or(8));
        out.put_u8(u8::from(int < 0));
        out.put_slice(&digits[..length]);
    }
}

fn put_length(length: usize, what: &'static str, out: &mut impl BufMut) -> Result<(), EncodeError> {
    out.put_u32(u32::try_from(length).map_err(|_| EncodeError::TooLarge(what))?);
    Ok(())
}

/// Writes a list of at most 65,535 bytes as a string, as OTP does; says whether it was one.
fn put_string(elements: &[Term], out: &mut impl BufMut) -> bool {
    let Ok(length) = u16::try_from(elements.len()) else {
        return false;
    };
    let byte = |term: &Term| term.as_int().and_then(|int| u8::try_from(int).ok());
    if !elements.iter().all(|element| byte(element).is_some()) {
        return false;
    }
    out.put_u8(tags::STRING);
    out.put_u16(length);
    for byte in elements.iter().filter_map(byte) {
        out.put_u8(byte);
    }
    true
}

fn put_port(port: &Port, out: &mut impl BufMut, atoms: &mut impl AtomSink) {
    // The wide form, as OTP 26 and later write it whatever the number; OTP 24 and later read it.
    out.put_u8(tags::V4_PORT);
    put_atom(&port.node, out, atoms);
    out.put_u64(port.id);
    out.put_u32(port.creation);
}

/// Writes a reference.
///
/// # Errors
/// [`EncodeError::TooLarge`] for one of more words than the format can count.
pub fn put_reference(
    reference: &Reference,
    out: &mut impl BufMut,
    atoms: &mut impl AtomSink,
) -> Result<(), EncodeError> {
    let words =
        u16::try_from(reference.id.len()).map_err(|_| EncodeError::TooLarge("a reference"))?;
    out.put_u8(tags::NEWER_REFERENCE);
    out.put_u16(words);
    put_atom(&reference.node, out, atoms);
    out.put_u32(reference.creation);
    for word in &reference.id {
        out.put_u32(*word);
    }
    Ok(())
}

fn put_fun(fun: &Fun, out: &mut impl BufMut, atoms: &mut impl AtomSink) -> Result<(), EncodeError> {
    // The size comes first and counts itself, so the rest is written aside. Funs are rare.
    let mut rest = Vec::new();
    rest.put_u8(fun.arity);
    rest.put_slice(&fun.uniq);
    rest.put_u32(fun.index);
    put_length(fun.free.len(), "a fun", &mut rest)?;
    put_atom(&fun.module, &mut rest, atoms);
    put_int(fun.old_index, &mut rest);
    put_int(fun.old_uniq, &mut rest);
    put_pid(&fun.pid, &mut rest, atoms);
    for term in &fun.free {
        encode_into(term, &mut rest, atoms)?;
    }
    out.put_u8(tags::NEW_FUN);
    put_length(rest.len() + 4, "a fun", out)?;
    out.put_slice(&rest);
    Ok(())
}
