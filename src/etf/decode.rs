//! Bytes to terms, whatever the bytes.
//!
//! What is declared is held against what is there before anything is reserved for it: every element
//! of a tuple, list or map takes at least a byte, so all elements declared and not yet read can
//! never outnumber the bytes left. On top of that every reservation is charged to a budget.

use std::collections::HashSet;
use std::io::Read;

use bytes::Bytes;
use num_bigint::{BigInt, Sign};

use super::atom::{self, Atom};
use super::tags;
use super::term::{BitString, Export, Fun, ImproperList, Map, Pid, Port, Reference, Term};

/// How much a decoder may spend on what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep terms may be nested.
    pub depth: u16,
    /// Bytes of memory that decoding may reserve, whatever the size of the input.
    pub memory: usize,
    /// Bytes of memory that decoding may reserve on top, for each byte of the input.
    pub memory_per_byte: usize,
}

impl Default for Limits {
    /// 512 deep; 256 KiB and 64 bytes for each byte of input. A list of small integers, the term that
    /// grows the most, needs 40 for each byte; more is needed only for terms compressed beyond 1:40.
    fn default() -> Self {
        Self {
            depth: 512,
            memory: 256 * 1024,
            memory_per_byte: 64,
        }
    }
}

/// Why bytes are no term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end in the middle of a term.
    #[error("the bytes end in the middle of a term")]
    Truncated,
    /// The first byte is not 131.
    #[error("a term starts with version 131, not with {0}")]
    Version(u8),
    /// A tag that the format does not have, or that has no place where it stands.
    #[error("tag {0} is not known or has no place here")]
    Tag(u8),
    /// More elements are declared than there are bytes left.
    #[error("more elements are declared than there are bytes")]
    Declared,
    /// A map that has a key twice.
    #[error("a map has a key twice")]
    DuplicateKey,
    /// Nested deeper than [`Limits::depth`].
    #[error("the term is nested deeper than the limit")]
    Depth,
    /// Decoding would reserve more than [`Limits`] allow.
    #[error("the term needs more memory than the limits allow")]
    Memory,
    /// An atom that is not UTF-8 or has more than 255 characters.
    #[error("an atom is not UTF-8 or has more than 255 characters")]
    Atom,
    /// A reference to an atom that the message's header does not have.
    #[error("the atom cache has no entry {0}")]
    AtomCache(u8),
    /// A value that its type cannot have: an infinite float, a bit count of 9, a reference of 6 words.
    #[error("{0} has a value that it cannot have")]
    Value(&'static str),
    /// The compressed data is damaged or has another size than declared.
    #[error("the compressed term is damaged")]
    Compressed,
    /// There are bytes after the term.
    #[error("{0} bytes follow the term")]
    Trailing(usize),
}

/// Reads one term with its leading version byte, compressed or not, and nothing after it.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(input: &Bytes) -> Result<Term, DecodeError> {
    decode_with(input, Limits::default())
}

/// As [`decode`], within other limits.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_with(input: &Bytes, limits: Limits) -> Result<Term, DecodeError> {
    let mut decoder = Decoder::sharing(input, &[], limits);
    decoder.version()?;
    if decoder.peek() == Some(tags::COMPRESSED) {
        decoder.u8()?;
        let inflated = decoder.inflate()?;
        let inner = Decoder::sharing(&inflated, &[], limits);
        return Decoder {
            memory_left: decoder.memory_left,
            ..inner
        }
        .only_term();
    }
    decoder.only_term()
}

/// Reads terms one after the other from a buffer; atoms may refer to a message's table.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    /// What is not yet read.
    rest: &'a [u8],
    /// What `rest` is the end of, when large binaries may share it.
    owner: Option<&'a Bytes>,
    /// Why a term that was read is none.
    failed: Option<DecodeError>,
    atoms: &'a [Atom],
    depth_left: u16,
    memory_left: usize,
    /// Elements that enclosing terms declared and that are still to be read.
    promised: usize,
}

/// Binaries from this size on share the buffer they came in; a smaller one would keep a large buffer
/// alive for a few bytes.
const SHARED_BINARY: usize = 1024;

/// Up to how many pairs of a map are compared with each other, instead of being hashed.
const FEW_PAIRS: usize = 12;

impl<'a> Decoder<'a> {
    /// Reads from `input`, of which nothing is kept; `ATOM_CACHE_REF` finds its atoms in `atoms`.
    #[must_use]
    pub fn new(input: &'a [u8], atoms: &'a [Atom], limits: Limits) -> Self {
        let memory_left = input
            .len()
            .saturating_mul(limits.memory_per_byte)
            .saturating_add(limits.memory);
        Self {
            rest: input,
            owner: None,
            failed: None,
            atoms,
            depth_left: limits.depth,
            memory_left,
            promised: 0,
        }
    }

    /// As [`Decoder::new`], but large binaries share the buffer instead of being copied, and so keep it
    /// alive.
    #[must_use]
    pub fn sharing(input: &'a Bytes, atoms: &'a [Atom], limits: Limits) -> Self {
        Self {
            owner: Some(input),
            ..Self::new(input, atoms, limits)
        }
    }

    /// Reads the version byte that starts a term outside of a message with a distribution header.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::Version`].
    pub fn version(&mut self) -> Result<(), DecodeError> {
        match self.u8()? {
            tags::VERSION => Ok(()),
            other => Err(DecodeError::Version(other)),
        }
    }

    fn only_term(mut self) -> Result<Term, DecodeError> {
        let term = self.term()?;
        self.finish()?;
        Ok(term)
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Says that nothing may follow.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }

    /// Reads a term.
    ///
    /// # Errors
    /// See [`DecodeError`]. After an error the decoder has nothing more to give.
    pub fn term(&mut self) -> Result<Term, DecodeError> {
        let term = self.value();
        self.failed.map_or(Ok(term), Err)
    }

    /// Reads a term, or notes why there is none and gives any.
    ///
    /// A `Result` of a term would be put together in one place and copied to where it belongs, which
    /// takes longer than reading it. What this returns is made in its place.
    fn value(&mut self) -> Term {
        let Ok(tag) = self.u8() else {
            return self.fail(DecodeError::Truncated);
        };
        match tag {
            tags::SMALL_INTEGER => match self.u8() {
                Ok(int) => Term::Int(i64::from(int)),
                Err(error) => self.fail(error),
            },
            tags::INTEGER => match self.array() {
                Ok(int) => Term::Int(i64::from(i32::from_be_bytes(int))),
                Err(error) => self.fail(error),
            },
            tags::ATOM_CACHE_REF => match self.cached_atom() {
                Ok(atom) => Term::Atom(atom.clone()),
                Err(error) => self.fail(error),
            },
            tags::SMALL_ATOM_UTF8 => match self.few_bytes().and_then(utf8) {
                Ok(text) => Term::Atom(Atom::of_few(text)),
                Err(error) => self.fail(error),
            },
            tags::NIL => Term::NIL,
            tags::SMALL_TUPLE => match self.u8() {
                Ok(arity) => Term::Tuple(self.elements(usize::from(arity))),
                Err(error) => self.fail(error),
            },
            tags::LARGE_TUPLE => match self.length() {
                Ok(arity) => Term::Tuple(self.elements(arity)),
                Err(error) => self.fail(error),
            },
            tags::LIST => match self.length() {
                Ok(count) => self.list(count),
                Err(error) => self.fail(error),
            },
            tags::MAP => match self.length() {
                Ok(count) => self.map(count),
                Err(error) => self.fail(error),
            },
            tag => self.rare(tag),
        }
    }

    #[inline(never)]
    fn rare(&mut self, tag: u8) -> Term {
        let term = match tag {
            tags::NEW_FUN => self.fun(),
            tag => self.leaf(tag),
        };
        term.unwrap_or_else(|error| self.fail(error))
    }

    #[cold]
    fn fail(&mut self, error: DecodeError) -> Term {
        self.failed.get_or_insert(error);
        // Whoever reads on comes to an end at once.
        self.rest = &[];
        Term::NIL
    }

    /// Reads a term that holds no other terms.
    fn leaf(&mut self, tag: u8) -> Result<Term, DecodeError> {
        Ok(match tag {
            tags::ATOM_UTF8 | tags::ATOM | tags::SMALL_ATOM => Term::Atom(self.atom_of(tag)?),
            tags::STRING => self.string()?,
            tags::BINARY => {
                let length = self.length()?;
                Term::Binary(self.bytes(length)?)
            }
            tags::NEW_FLOAT => finite(f64::from_be_bytes(self.array()?))?,
            tags::FLOAT => self.old_float()?,
            tags::SMALL_BIG => {
                let length = usize::from(self.u8()?);
                self.big(length)?
            }
            tags::LARGE_BIG => {
                let length = self.length()?;
                self.big(length)?
            }
            tags::BIT_BINARY => self.bit_string()?,
            tags::NEW_PID | tags::PID => Term::Pid(Box::new(self.pid_of(tag)?)),
            tags::V4_PORT | tags::NEW_PORT | tags::PORT => self.port(tag)?,
            tags::NEWER_REFERENCE | tags::NEW_REFERENCE | tags::REFERENCE => self.reference(tag)?,
            tags::EXPORT => self.export()?,
            tag => return Err(DecodeError::Tag(tag)),
        })
    }

    /// Reads the head of a small tuple and its first element if that is a byte, as control messages start:
    /// gives its arity and the byte.
    #[cfg(feature = "dist")]
    pub(crate) fn small_tuple_of_int(&mut self) -> Option<(u8, u8)> {
        match self.rest {
            &[
                tags::SMALL_TUPLE,
                arity,
                tags::SMALL_INTEGER,
                int,
                ref rest @ ..,
            ] => {
                self.rest = rest;
                Some((arity, int))
            }
            _ => None,
        }
    }

    /// Reads a term that has to be an atom.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn atom(&mut self) -> Result<Atom, DecodeError> {
        let tag = self.u8()?;
        self.atom_of(tag)
    }

    /// Reads a term that has to be a pid.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn pid(&mut self) -> Result<Pid, DecodeError> {
        let tag = self.u8()?;
        self.pid_of(tag)
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn u8(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn length(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.u32()?).map_err(|_| DecodeError::Declared)
    }

    /// Bytes of the input, shared when they are many, copied when few.
    fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let taken = self.take(length)?;
        match self.owner {
            Some(owner) if length >= SHARED_BINARY => {
                let end = owner.len() - self.rest.len();
                Ok(owner.slice(end - length..end))
            }
            _ => {
                self.charge(length)?;
                Ok(Bytes::copy_from_slice(taken))
            }
        }
    }

    /// How much memory may still be taken for what is read.
    #[cfg(feature = "dist")]
    pub(crate) fn memory_left(&self) -> usize {
        self.memory_left
    }

    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.memory_left = self
            .memory_left
            .checked_sub(bytes)
            .ok_or(DecodeError::Memory)?;
        Ok(())
    }

    /// Notes that `count` elements of `each` bytes of memory were declared, `width` terms of input each,
    /// and refuses what the rest of the input cannot hold.
    fn promise(&mut self, count: usize, width: usize, each: usize) -> Result<(), DecodeError> {
        let terms = count.checked_mul(width).ok_or(DecodeError::Declared)?;
        let promised = self
            .promised
            .checked_add(terms)
            .ok_or(DecodeError::Declared)?;
        if promised > self.remaining() {
            return Err(DecodeError::Declared);
        }
        self.charge(count.saturating_mul(each))?;
        self.promised = promised;
        Ok(())
    }

    #[inline]
    fn descend(&mut self) -> Result<(), DecodeError> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(DecodeError::Depth)?;
        Ok(())
    }

    /// Reads that many terms.
    fn elements(&mut self, count: usize) -> Vec<Term> {
        let promised = self.promise(count, 1, size_of::<Term>());
        if let Err(error) = promised.and_then(|()| self.descend()) {
            self.fail(error);
            return Vec::new();
        }
        let mut elements = Vec::with_capacity(count);
        elements.extend((0..count).map(|_| {
            self.promised -= 1;
            self.value()
        }));
        self.depth_left += 1;
        elements
    }

    fn list(&mut self, count: usize) -> Term {
        let elements = self.elements(count);
        if let Some((&tags::NIL, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Term::List(elements);
        }
        self.tail(elements).unwrap_or_else(|error| self.fail(error))
    }

    /// Reads what ends a list that does not end in `[]`.
    #[inline(never)]
    fn tail(&mut self, elements: Vec<Term>) -> Result<Term, DecodeError> {
        self.descend()?;
        let tail = self.term()?;
        self.depth_left += 1;
        // OTP writes a proper list in one piece, so a tail that is itself a list is not joined to it
        // but refused: joining would let a hostile peer have the same elements moved again and again.
        match tail {
            Term::List(_) | Term::ImproperList(_) => Err(DecodeError::Value("the tail of a list")),
            tail if elements.is_empty() => Ok(tail),
            tail => {
                self.charge(size_of::<ImproperList>())?;
                Ok(Term::ImproperList(Box::new(ImproperList {
                    elements,
                    tail,
                })))
            }
        }
    }

    fn map(&mut self, count: usize) -> Term {
        // A pair, and what finding duplicates takes.
        let each = size_of::<(Term, Term)>() + 2 * size_of::<usize>();
        let promised = self.promise(count, 2, each);
        if let Err(error) = promised.and_then(|()| self.descend()) {
            return self.fail(error);
        }
        let mut pairs = Vec::with_capacity(count);
        pairs.extend((0..count).map(|_| {
            self.promised -= 1;
            let key = self.value();
            self.promised -= 1;
            (key, self.value())
        }));
        self.depth_left += 1;
        if has_duplicates(&pairs) {
            return self.fail(DecodeError::DuplicateKey);
        }
        Term::Map(Map(pairs))
    }

    fn string(&mut self) -> Result<Term, DecodeError> {
        let length = usize::from(self.u16()?);
        self.charge(length.saturating_mul(size_of::<Term>()))?;
        let bytes = self.take(length)?;
        Ok(Term::List(
            bytes
                .iter()
                .map(|&byte| Term::Int(i64::from(byte)))
                .collect(),
        ))
    }

    #[inline]
    fn cached_atom(&mut self) -> Result<&'a Atom, DecodeError> {
        let index = self.u8()?;
        self.atoms
            .get(usize::from(index))
            .ok_or(DecodeError::AtomCache(index))
    }

    /// Bytes whose length is a byte.
    #[inline]
    fn few_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.u8()?);
        self.charge(length)?;
        self.take(length)
    }

    fn atom_of(&mut self, tag: u8) -> Result<Atom, DecodeError> {
        match tag {
            tags::ATOM_CACHE_REF => Ok(self.cached_atom()?.clone()),
            tags::SMALL_ATOM_UTF8 => Ok(Atom::of_few(self.few_bytes().and_then(utf8)?)),
            tags::SMALL_ATOM => Ok(Atom::from_latin1(self.few_bytes()?)),
            tags::ATOM_UTF8 => {
                let length = usize::from(self.u16()?);
                self.charge(length)?;
                let text = utf8(self.take(length)?)?;
                Atom::try_from(text).map_err(|_| DecodeError::Atom)
            }
            tags::ATOM => {
                let length = usize::from(self.u16()?);
                if length > atom::MAX_CHARS {
                    return Err(DecodeError::Atom);
                }
                self.charge(length)?;
                Ok(Atom::from_latin1(self.take(length)?))
            }
            tag => Err(DecodeError::Tag(tag)),
        }
    }

    fn creation(&mut self, old: bool) -> Result<u32, DecodeError> {
        if old {
            // The two bits that a creation had before OTP 23.
            Ok(u32::from(self.u8()? & 3))
        } else {
            self.u32()
        }
    }

    fn pid_of(&mut self, tag: u8) -> Result<Pid, DecodeError> {
        if tag != tags::NEW_PID && tag != tags::PID {
            return Err(DecodeError::Tag(tag));
        }
        let node = self.atom()?;
        let (id, serial) = (self.u32()?, self.u32()?);
        let creation = self.creation(tag == tags::PID)?;
        self.charge(size_of::<Pid>())?;
        Ok(Pid {
            node,
            id,
            serial,
            creation,
        })
    }

    fn port(&mut self, tag: u8) -> Result<Term, DecodeError> {
        let node = self.atom()?;
        let id = match tag {
            tags::V4_PORT => u64::from_be_bytes(self.array()?),
            _ => u64::from(self.u32()?),
        };
        let creation = self.creation(tag == tags::PORT)?;
        self.charge(size_of::<Port>())?;
        Ok(Term::Port(Box::new(Port { node, id, creation })))
    }

    fn reference(&mut self, tag: u8) -> Result<Term, DecodeError> {
        let words = match tag {
            tags::REFERENCE => 1,
            _ => usize::from(self.u16()?),
        };
        if !(1..=5).contains(&words) {
            return Err(DecodeError::Value("a reference"));
        }
        let node = self.atom()?;
        let mut id = Vec::with_capacity(words);
        let creation = if tag == tags::REFERENCE {
            id.push(self.u32()?);
            self.creation(true)?
        } else {
            let creation = self.creation(tag == tags::NEW_REFERENCE)?;
            for _ in 0..words {
                id.push(self.u32()?);
            }
            creation
        };
        self.charge(size_of::<Reference>() + words * 4)?;
        Ok(Term::Reference(Box::new(Reference { node, creation, id })))
    }

    fn bit_string(&mut self) -> Result<Term, DecodeError> {
        let length = self.length()?;
        let last_bits = self.u8()?;
        let bytes = self.bytes(length)?;
        match (bytes.last(), last_bits) {
            (None, 0) => Ok(Term::Binary(bytes)),
            (Some(_), 8) => Ok(Term::Binary(bytes)),
            (Some(last), 1..=7) => {
                self.charge(size_of::<BitString>())?;
                let unused = 0xff_u8 >> last_bits;
                let bytes = if last & unused == 0 {
                    bytes
                } else {
                    // Equal bits must be equal bytes.
                    self.charge(length)?;
                    let mut cleared = bytes.to_vec();
                    if let Some(last) = cleared.last_mut() {
                        *last &= !unused;
                    }
                    cleared.into()
                };
                Ok(Term::BitString(Box::new(BitString { bytes, last_bits })))
            }
            _ => Err(DecodeError::Value("a bit string")),
        }
    }

    fn big(&mut self, length: usize) -> Result<Term, DecodeError> {
        let sign = match self.u8()? {
            0 => Sign::Plus,
            1 => Sign::Minus,
            _ => return Err(DecodeError::Value("an integer")),
        };
        let digits = self.take(length)?;
        // An i64 has at most 8 digits; most big integers on the wire are of that kind.
        if let Ok(int) = small_big(sign, digits) {
            return Ok(Term::Int(int));
        }
        let int = BigInt::from_bytes_le(sign, digits);
        self.charge(length.saturating_mul(2) + size_of::<BigInt>())?;
        Ok(Term::integer(int))
    }

    fn old_float(&mut self) -> Result<Term, DecodeError> {
        let text: [u8; 31] = self.array()?;
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| DecodeError::Value("a float"))?;
        let float = text.trim().parse();
        finite(float.map_err(|_| DecodeError::Value("a float"))?)
    }

    fn export(&mut self) -> Result<Term, DecodeError> {
        let (module, function) = (self.atom()?, self.atom()?);
        let tag = self.u8()?;
        if tag != tags::SMALL_INTEGER {
            return Err(DecodeError::Tag(tag));
        }
        let arity = self.u8()?;
        self.charge(size_of::<Export>())?;
        Ok(Term::Export(Box::new(Export {
            module,
            function,
            arity,
        })))
    }

    fn fun(&mut self) -> Result<Term, DecodeError> {
        let before = self.remaining();
        let size = self.length()?;
        let arity = self.u8()?;
        let uniq = self.array()?;
        let index = self.u32()?;
        let free = self.length()?;
        let module = self.atom()?;
        let (old_index, old_uniq) = (self.small_int()?, self.small_int()?);
        let pid = self.pid()?;
        let free = self.elements(free);
        self.failed.map_or(Ok(()), Err)?;
        if before - self.remaining() != size {
            return Err(DecodeError::Value("the size of a fun"));
        }
        self.charge(size_of::<Fun>())?;
        Ok(Term::Fun(Box::new(Fun {
            arity,
            uniq,
            index,
            module,
            old_index,
            old_uniq,
            pid,
            free,
        })))
    }

    /// Reads an integer of at most 64 bits. Any term here would nest without a limit.
    fn small_int(&mut self) -> Result<i64, DecodeError> {
        match self.u8()? {
            tags::SMALL_INTEGER => self.u8().map(i64::from),
            tags::INTEGER => Ok(i64::from(i32::from_be_bytes(self.array()?))),
            tags::SMALL_BIG => {
                let length = usize::from(self.u8()?);
                let int = self.big(length)?.as_int();
                int.ok_or(DecodeError::Value("a field of a fun"))
            }
            tag => Err(DecodeError::Tag(tag)),
        }
    }

    /// What the rest of the input inflates to, within what may be spent.
    fn inflate(&mut self) -> Result<Bytes, DecodeError> {
        let size = self.length()?;
        self.charge(size)?;
        let mut inflated = Vec::new();
        let mut inflater = flate2::bufread::ZlibDecoder::new(self.rest);
        // Grows with what is really there, not by what was declared.
        let limit = u64::try_from(size).map_err(|_| DecodeError::Memory)?;
        inflater
            .by_ref()
            .take(limit + 1)
            .read_to_end(&mut inflated)
            .map_err(|_| DecodeError::Compressed)?;
        if inflated.len() != size {
            return Err(DecodeError::Compressed);
        }
        let used = usize::try_from(inflater.total_in()).map_err(|_| DecodeError::Compressed)?;
        self.take(used)?;
        self.finish()?;
        Ok(inflated.into())
    }
}

/// Whether a key is there twice, which OTP refuses too: equality of maps relies on it.
fn has_duplicates(pairs: &[(Term, Term)]) -> bool {
    if pairs.len() <= FEW_PAIRS {
        let keys = || pairs.iter().map(|(key, _)| key);
        return keys()
            .enumerate()
            .any(|(at, key)| keys().take(at).any(|other| other == key));
    }
    let mut keys = HashSet::with_capacity(pairs.len());
    pairs.iter().any(|(key, _)| !keys.insert(key))
}

#[inline]
fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Atom)
}

fn finite(float: f64) -> Result<Term, DecodeError> {
    if float.is_finite() {
        Ok(Term::Float(float))
    } else {
        Err(DecodeError::Value("a float"))
    }
}

fn small_big(sign: Sign, digits: &[u8]) -> Result<i64, ()> {
    let mut bytes = [0; 8];
    bytes
        .get_mut(..digits.len())
        .ok_or(())?
        .copy_from_slice(digits);
    let magnitude = i128::from(u64::from_le_bytes(bytes));
    let int = if sign == Sign::Minus {
        -magnitude
    } else {
        magnitude
    };
    i64::try_from(int).map_err(|_| ())
}
