//! Bytes to terms, whatever the bytes.
//!
//! What is declared is held against what is there before anything is reserved for it: every element
//! of a tuple, list or map takes at least a byte, so all elements declared and not yet read can
//! never outnumber the bytes left. On top of that every reservation is charged to a budget.

use std::io::Read;

use bytes::Bytes;
use num_bigint::{BigInt, Sign};

use super::atom::{self, Atom};
use super::map::Map;
use super::tags::{self, MAX_ARITY, MAX_INTEGER_BYTES, MAX_WORDS};
use super::term::{BitString, Export, Fun, ImproperList, Pid, Port, Reference, Term};

/// How much a decoder may spend on what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep terms may be nested. Dropping a term takes up to 160 bytes of the thread's stack for each level;
    /// nothing else that this crate does with terms needs more stack for deeper ones.
    pub depth: u16,
    /// Bytes of memory that decoding may reserve, whatever the size of the input.
    pub memory: usize,
    /// Bytes of memory that decoding may reserve on top, for each byte of the input.
    pub memory_per_byte: usize,
    /// Bytes of memory that decoding may reserve in all. Binaries that share their input take none.
    pub max_memory: usize,
}

impl Default for Limits {
    /// 4,096 deep; 256 KiB and 64 bytes for each byte of input, but at most 512 MiB. A list of small integers,
    /// the term that grows the most, needs 40 for each byte; more is needed only for terms compressed beyond 1:40.
    fn default() -> Self {
        Self {
            depth: 4096,
            memory: 256 * 1024,
            memory_per_byte: 64,
            max_memory: 512 << 20,
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
    /// An integer, or a tuple, that is larger than Erlang has them.
    #[error("{0} is larger than Erlang has them")]
    TooLarge(&'static str),
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

impl DecodeError {
    /// Whether the bytes may well be a term, but one that goes beyond the [`Limits`], or beyond what OTP takes.
    #[must_use]
    pub const fn is_limit(&self) -> bool {
        matches!(self, Self::Depth | Self::Memory | Self::TooLarge(_))
    }
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
    /// How many calls for terms within terms are on the thread's stack.
    calls: u16,
    memory_left: usize,
    /// Elements that enclosing terms declared and that are still to be read.
    promised: usize,
}

/// Binaries from this size on share the buffer they came in; a smaller one would keep a large buffer
/// alive for a few bytes.
const SHARED_BINARY: usize = 1024;

/// What follows the elements of a list.
enum More {
    /// So many more.
    Elements(usize),
    /// `[]`
    End,
    /// A term that is no list.
    Tail,
}

/// To what depth terms are read by calls, which is faster than with a stack of our own.
const MOST_CALLS: u16 = 64;

/// A term of which some parts have been read, below the depth to which terms are read by calls.
enum Open {
    List {
        left: usize,
        elements: Vec<Term>,
    },
    Tail {
        elements: Vec<Term>,
    },
    Tuple {
        left: usize,
        elements: Vec<Term>,
    },
    Map {
        left: usize,
        key: Option<Term>,
        pairs: Vec<(Term, Term)>,
    },
    Fun {
        left: usize,
        fun: Box<Fun>,
        /// How much of the input must be left when it has been read.
        rest: usize,
    },
}

impl<'a> Decoder<'a> {
    /// Reads from `input`, of which nothing is kept; `ATOM_CACHE_REF` finds its atoms in `atoms`.
    #[must_use]
    pub fn new(input: &'a [u8], atoms: &'a [Atom], limits: Limits) -> Self {
        let memory_left = input
            .len()
            .saturating_mul(limits.memory_per_byte)
            .saturating_add(limits.memory)
            .min(limits.max_memory);
        Self {
            rest: input,
            owner: None,
            failed: None,
            atoms,
            depth_left: limits.depth,
            calls: 0,
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
        self.value_of(tag)
    }

    #[inline]
    fn value_of(&mut self, tag: u8) -> Term {
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
            tags::SMALL_TUPLE | tags::LARGE_TUPLE | tags::LIST | tags::MAP
                if self.calls >= MOST_CALLS =>
            {
                self.deep(tag)
            }
            tags::SMALL_TUPLE => match self.u8() {
                Ok(arity) => Term::Tuple(self.elements(usize::from(arity))),
                Err(error) => self.fail(error),
            },
            tags::LARGE_TUPLE => match self.arity() {
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
            tags::NEW_FUN if self.calls >= MOST_CALLS => Ok(self.deep(tag)),
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

    fn arity(&mut self) -> Result<usize, DecodeError> {
        match self.length()? {
            arity @ 0..=MAX_ARITY => Ok(arity),
            _ => Err(DecodeError::TooLarge("a tuple")),
        }
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
        self.calls += 1;
        Ok(())
    }

    #[inline]
    fn ascend(&mut self) {
        self.depth_left += 1;
        self.calls -= 1;
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
        self.ascend();
        elements
    }

    fn list(&mut self, count: usize) -> Term {
        let elements = self.elements(count);
        if let Some((&tags::NIL, rest)) = self.rest.split_first() {
            self.rest = rest;
            return Term::List(elements);
        }
        self.after_elements(elements)
    }

    /// Reads what follows the elements of a list that is not at its end.
    #[inline(never)]
    fn after_elements(&mut self, mut elements: Vec<Term>) -> Term {
        loop {
            match self.more(&mut elements) {
                Ok(More::Elements(count)) => {
                    if let Err(error) = self.descend() {
                        return self.fail(error);
                    }
                    elements.extend((0..count).map(|_| {
                        self.promised -= 1;
                        self.value()
                    }));
                    self.ascend();
                }
                Ok(More::End) => return Term::List(elements),
                Ok(More::Tail) => {
                    if let Err(error) = self.descend() {
                        return self.fail(error);
                    }
                    let tail = self.value();
                    self.ascend();
                    return self.with_tail(elements, tail);
                }
                Err(error) => return self.fail(error),
            }
        }
    }

    /// Reads the tag of what follows the elements of a list.
    ///
    /// A list is the tail of another one where a C node writes it one element at a time, as the manual of `ei`
    /// shows. However long it gets, its elements are in one vector, which is moved only when it has grown by half.
    fn more(&mut self, elements: &mut Vec<Term>) -> Result<More, DecodeError> {
        match self.peek() {
            Some(tags::NIL) => {
                self.u8()?;
                Ok(More::End)
            }
            Some(tags::LIST) => {
                self.u8()?;
                let count = self.length()?;
                self.promise(count, 1, 0)?;
                self.make_room(elements, count)?;
                Ok(More::Elements(count))
            }
            Some(tags::STRING) => {
                self.u8()?;
                let bytes = self.string_bytes()?;
                self.make_room(elements, bytes.len())?;
                elements.extend(bytes.iter().map(|&byte| Term::Int(i64::from(byte))));
                Ok(More::End)
            }
            _ => Ok(More::Tail),
        }
    }

    /// Makes room for so many more elements; if for that the vector has to be moved, then for half as many as it
    /// has at the least.
    fn make_room(&mut self, elements: &mut Vec<Term>, count: usize) -> Result<(), DecodeError> {
        let (length, capacity) = (elements.len(), elements.capacity());
        if capacity - length < count {
            let wanted = length.saturating_add(count);
            let enlarged = wanted.max(capacity.saturating_add(capacity / 2));
            self.charge((enlarged - capacity).saturating_mul(size_of::<Term>()))?;
            elements.reserve_exact(enlarged - length);
        }
        Ok(())
    }

    /// A list with a tail that is none.
    fn with_tail(&mut self, elements: Vec<Term>, tail: Term) -> Term {
        if elements.is_empty() {
            return tail;
        }
        if let Err(error) = self.charge(size_of::<ImproperList>()) {
            return self.fail(error);
        }
        Term::ImproperList(Box::new(ImproperList { elements, tail }))
    }

    /// Reads a term that holds others with a stack of our own: a term may nest deeper than the thread has stack.
    #[inline(never)]
    fn deep(&mut self, tag: u8) -> Term {
        let mut stack = Vec::new();
        let mut next = Some(tag);
        loop {
            // A term that is whole, if one is now.
            let mut whole = match next {
                Some(tag) => self.begin(tag, &mut stack).unwrap_or_else(|error| {
                    stack.clear();
                    Some(self.fail(error))
                }),
                None => None,
            };
            loop {
                if let Some(term) = whole.take() {
                    match stack.last_mut() {
                        Some(open) => whole = self.put_part(open, term),
                        None => return term,
                    }
                    if whole.is_some() {
                        // It was a tail: the list is whole.
                        stack.pop();
                        continue;
                    }
                }
                let Some(open) = stack.last_mut() else {
                    return self.fail(DecodeError::Truncated);
                };
                match self.is_complete(open) {
                    Ok(false) => {
                        if !matches!(open, Open::Tail { .. }) {
                            // The part that is read now.
                            self.promised -= 1;
                        }
                        break;
                    }
                    Ok(true) => whole = stack.pop().map(|open| self.close(open)),
                    Err(error) => {
                        stack.clear();
                        whole = Some(self.fail(error));
                    }
                }
            }
            match self.u8() {
                Ok(tag) => next = Some(tag),
                Err(error) => return self.fail(error),
            }
        }
    }

    /// Reads the head of a term that holds others, and puts it on the stack. Gives any other term.
    fn begin(&mut self, tag: u8, stack: &mut Vec<Open>) -> Result<Option<Term>, DecodeError> {
        let depth = stack.len() + 1;
        let open = match tag {
            tags::SMALL_TUPLE | tags::LARGE_TUPLE | tags::LIST => {
                let count = match tag {
                    tags::SMALL_TUPLE => usize::from(self.u8()?),
                    tags::LARGE_TUPLE => self.arity()?,
                    _ => self.length()?,
                };
                self.promise(count, 1, size_of::<Term>())?;
                let (left, elements) = (count, Vec::with_capacity(count));
                if tag == tags::LIST {
                    Open::List { left, elements }
                } else {
                    Open::Tuple { left, elements }
                }
            }
            tags::MAP => {
                let count = self.length()?;
                self.promise(count, 2, size_of::<(Term, Term)>())?;
                Open::Map {
                    left: count.saturating_mul(2),
                    key: None,
                    pairs: Vec::with_capacity(count),
                }
            }
            tags::NEW_FUN => {
                let (mut fun, left, rest) = self.head_of_fun()?;
                self.promise(left, 1, size_of::<Term>())?;
                fun.free = Vec::with_capacity(left);
                Open::Fun { left, fun, rest }
            }
            tag => {
                let term = self.value_of(tag);
                return self.failed.map_or(Ok(Some(term)), Err);
            }
        };
        if depth > usize::from(self.depth_left) {
            return Err(DecodeError::Depth);
        }
        self.charge(size_of::<Open>())?;
        stack.push(open);
        Ok(None)
    }

    /// Puts a term into the one that it is a part of. Gives the list of which it was the tail.
    fn put_part(&mut self, open: &mut Open, term: Term) -> Option<Term> {
        let left = match open {
            Open::Tail { elements } => {
                let elements = std::mem::take(elements);
                return Some(self.with_tail(elements, term));
            }
            Open::List { left, elements } | Open::Tuple { left, elements } => {
                elements.push(term);
                left
            }
            Open::Map { left, key, pairs } => {
                match key.take() {
                    Some(key) => pairs.push((key, term)),
                    None => *key = Some(term),
                }
                left
            }
            Open::Fun { left, fun, .. } => {
                fun.free.push(term);
                left
            }
        };
        *left -= 1;
        None
    }

    /// Whether no part of it is left to be read. Reads what follows the elements of a list.
    fn is_complete(&mut self, open: &mut Open) -> Result<bool, DecodeError> {
        let (left, elements) = match open {
            Open::Tail { .. } => return Ok(false),
            Open::Tuple { left, .. } | Open::Map { left, .. } | Open::Fun { left, .. } => {
                return Ok(*left == 0);
            }
            Open::List { left, elements } => (left, elements),
        };
        while *left == 0 {
            match self.more(elements)? {
                More::Elements(count) => *left = count,
                More::End => return Ok(true),
                More::Tail => {
                    let elements = std::mem::take(elements);
                    *open = Open::Tail { elements };
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// A term whose parts have all been read.
    fn close(&mut self, open: Open) -> Term {
        match open {
            Open::List { elements, .. } | Open::Tail { elements } => Term::List(elements),
            Open::Tuple { elements, .. } => Term::Tuple(elements),
            Open::Map { pairs, .. } => self.map_of(pairs),
            Open::Fun { fun, rest, .. } if self.remaining() == rest => Term::Fun(fun),
            Open::Fun { .. } => self.fail(DecodeError::Value("the size of a fun")),
        }
    }

    fn map(&mut self, count: usize) -> Term {
        let promised = self.promise(count, 2, size_of::<(Term, Term)>());
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
        self.ascend();
        self.map_of(pairs)
    }

    fn map_of(&mut self, pairs: Vec<(Term, Term)>) -> Term {
        // OTP refuses a key that is there twice, too.
        match Map::unique(pairs) {
            Ok(map) => Term::Map(map),
            Err(_) => self.fail(DecodeError::DuplicateKey),
        }
    }

    fn string(&mut self) -> Result<Term, DecodeError> {
        let bytes = self.string_bytes()?;
        self.charge(bytes.len().saturating_mul(size_of::<Term>()))?;
        Ok(Term::List(
            bytes
                .iter()
                .map(|&byte| Term::Int(i64::from(byte)))
                .collect(),
        ))
    }

    fn string_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::from(self.u16()?);
        self.take(length)
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
        if !(1..=MAX_WORDS).contains(&words) {
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
        let significant = digits.iter().rposition(|&digit| digit != 0);
        if significant.is_some_and(|last| last >= MAX_INTEGER_BYTES) {
            return Err(DecodeError::TooLarge("an integer"));
        }
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
        let (mut fun, count, rest) = self.head_of_fun()?;
        fun.free = self.elements(count);
        self.failed.map_or(Ok(()), Err)?;
        if self.remaining() != rest {
            return Err(DecodeError::Value("the size of a fun"));
        }
        Ok(Term::Fun(fun))
    }

    /// Reads a fun without its free variables: gives how many there are, and how many bytes are left after them.
    fn head_of_fun(&mut self) -> Result<(Box<Fun>, usize, usize), DecodeError> {
        let before = self.remaining();
        let size = self.length()?;
        let arity = self.u8()?;
        let uniq = self.array()?;
        let index = self.u32()?;
        let free = self.length()?;
        let module = self.atom()?;
        let (old_index, old_uniq) = (self.small_int()?, self.small_int()?);
        let pid = self.pid()?;
        self.charge(size_of::<Fun>())?;
        let rest = before.checked_sub(size);
        let fun = Fun {
            arity,
            uniq,
            index,
            module,
            old_index,
            old_uniq,
            pid,
            free: Vec::new(),
        };
        let rest = rest.ok_or(DecodeError::Value("the size of a fun"))?;
        Ok((Box::new(fun), free, rest))
    }

    /// Reads an integer of at most 60 bits. Any term here would nest without a limit.
    fn small_int(&mut self) -> Result<i64, DecodeError> {
        match self.u8()? {
            tags::SMALL_INTEGER => self.u8().map(i64::from),
            tags::INTEGER => Ok(i64::from(i32::from_be_bytes(self.array()?))),
            tags::SMALL_BIG => {
                let length = usize::from(self.u8()?);
                let int = self.big(length)?.as_int();
                int.filter(|int| tags::SMALL_INTEGERS.contains(int))
                    .ok_or(DecodeError::Value("a field of a fun"))
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
