//! A term of Erlang as a value of Rust.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use num_bigint::BigInt;

use super::atom::Atom;

/// A term of Erlang.
///
/// Two terms are equal when Erlang's `=:=` says so: `1` is not `1.0`, and a map's order does not
/// count. The one departure is that `0.0` and `-0.0` differ, as they do since OTP 27.
#[derive(Debug, Clone)]
pub enum Term {
    /// An atom; `true`, `false` and `nil` are atoms.
    Atom(Atom),
    /// An integer that fits 64 bits.
    Int(i64),
    /// An integer that does not. One that would fit an [`Term::Int`] is never held here.
    BigInt(Box<BigInt>),
    /// A float, never infinite and never NaN.
    Float(f64),
    /// A binary. A large one shares the buffer that it was received in.
    Binary(Bytes),
    /// A bit string whose last byte is not used whole.
    BitString(Box<BitString>),
    /// A proper list, `[]` included. Erlang's strings are lists of their characters.
    List(Vec<Term>),
    /// A list whose tail is not a list: `[a, b | c]`.
    ImproperList(Box<ImproperList>),
    /// A tuple.
    Tuple(Vec<Term>),
    /// A map.
    Map(Map),
    /// A process identifier.
    Pid(Box<Pid>),
    /// A port identifier.
    Port(Box<Port>),
    /// A reference.
    Reference(Box<Reference>),
    /// A fun that names a function: `fun lists:map/2`.
    Export(Box<Export>),
    /// A fun with an environment, which only its own node can call.
    Fun(Box<Fun>),
}

/// `[first, ... | tail]`, with a tail that is no list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImproperList {
    /// The elements, at least one.
    pub elements: Vec<Term>,
    /// What stands after the bar.
    pub tail: Term,
}

/// Bits that do not fill their last byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BitString {
    /// The bytes; unused bits of the last are zero.
    pub bytes: Bytes,
    /// How many bits of the last byte count, from its high end: 1 to 7.
    pub last_bits: u8,
}

/// The pairs of a map, in the order in which they came or were put in.
#[derive(Debug, Clone, Default)]
pub struct Map(pub Vec<(Term, Term)>);

impl Map {
    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &Term) -> Option<&Term> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The value under an atom.
    #[must_use]
    pub fn get_atom(&self, key: &str) -> Option<&Term> {
        self.0
            .iter()
            .find(|(k, _)| matches!(k, Term::Atom(atom) if *atom == key))
            .map(|(_, v)| v)
    }
}

/// From how many pairs on two maps are compared by hashing.
const HASHED: usize = 16;

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        // Two encoders that agree on the order are the common case; then no look-up is needed.
        if self.0 == other.0 {
            return true;
        }
        if self.0.len() != other.0.len() {
            return false;
        }
        if self.0.len() < HASHED {
            return self.0.iter().all(|(k, v)| other.get(k) == Some(v));
        }
        let other: HashMap<_, _> = other.0.iter().map(|(k, v)| (k, v)).collect();
        self.0.iter().all(|(k, v)| other.get(k) == Some(&v))
    }
}

impl Eq for Map {}

impl Hash for Map {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Equal maps may differ in order, which a sum does not show.
        let pairs = self.0.iter().map(|pair| {
            let mut hasher = DefaultHasher::new();
            pair.hash(&mut hasher);
            hasher.finish()
        });
        state.write_u64(pairs.fold(0, u64::wrapping_add));
        state.write_usize(self.0.len());
    }
}

/// A process identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pid {
    /// The node that the process runs on.
    pub node: Atom,
    /// Its number there.
    pub id: u32,
    /// The higher part of its number.
    pub serial: u32,
    /// Which life of the node it belongs to.
    pub creation: u32,
}

/// A port identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// The node that the port is open on.
    pub node: Atom,
    /// Its number there.
    pub id: u64,
    /// Which life of the node it belongs to.
    pub creation: u32,
}

/// A reference: unique in a cluster for as long as it lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The node that made it.
    pub node: Atom,
    /// Which life of the node it belongs to.
    pub creation: u32,
    /// One to five words.
    pub id: Vec<u32>,
}

/// `fun Module:Function/Arity`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Export {
    /// The module.
    pub module: Atom,
    /// The function.
    pub function: Atom,
    /// How many arguments it takes.
    pub arity: u8,
}

/// A fun with an environment. Its fields go back to its node as they came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fun {
    /// How many arguments it takes.
    pub arity: u8,
    /// The MD5 of its module's significant parts.
    pub uniq: [u8; 16],
    /// Its place among the module's funs.
    pub index: u32,
    /// The module.
    pub module: Atom,
    /// `OldIndex` of the format.
    pub old_index: i64,
    /// `OldUniq` of the format.
    pub old_uniq: i64,
    /// The process that made it.
    pub pid: Pid,
    /// The values of its free variables.
    pub free: Vec<Term>,
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Atom(a), Self::Atom(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::BigInt(a), Self::BigInt(b)) => a == b,
            // Bits, not values: what is equal must also hash alike.
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Binary(a), Self::Binary(b)) => a == b,
            (Self::BitString(a), Self::BitString(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => a == b,
            (Self::ImproperList(a), Self::ImproperList(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Pid(a), Self::Pid(b)) => a == b,
            (Self::Port(a), Self::Port(b)) => a == b,
            (Self::Reference(a), Self::Reference(b)) => a == b,
            (Self::Export(a), Self::Export(b)) => a == b,
            (Self::Fun(a), Self::Fun(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Term {}

impl Hash for Term {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Atom(atom) => atom.hash(state),
            Self::Int(int) => int.hash(state),
            Self::BigInt(int) => int.hash(state),
            Self::Float(float) => float.to_bits().hash(state),
            Self::Binary(bytes) => bytes.hash(state),
            Self::BitString(bits) => bits.hash(state),
            Self::List(terms) | Self::Tuple(terms) => terms.hash(state),
            Self::ImproperList(list) => list.hash(state),
            Self::Map(map) => map.hash(state),
            Self::Pid(pid) => pid.hash(state),
            Self::Port(port) => port.hash(state),
            Self::Reference(reference) => reference.hash(state),
            Self::Export(export) => export.hash(state),
            Self::Fun(fun) => fun.hash(state),
        }
    }
}

impl Term {
    /// `[]`.
    pub const NIL: Self = Self::List(Vec::new());

    /// An atom that is known when the program is written.
    ///
    /// # Panics
    /// As [`Atom::new`].
    #[must_use]
    pub const fn atom(name: &'static str) -> Self {
        Self::Atom(Atom::new(name))
    }

    /// A binary.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// An integer of any size, in its one form.
    pub fn integer(int: impl Into<BigInt>) -> Self {
        let int = int.into();
        i64::try_from(&int).map_or_else(|_| Self::BigInt(Box::new(int)), Self::Int)
    }

    /// The text of an Erlang string, as a list of its characters.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::List(
            text.chars()
                .map(|c| Self::Int(i64::from(u32::from(c))))
                .collect(),
        )
    }

    /// The atom's name, if it is an atom.
    #[must_use]
    pub fn as_atom(&self) -> Option<&Atom> {
        match self {
            Self::Atom(atom) => Some(atom),
            _ => None,
        }
    }

    /// The elements, if it is a tuple.
    #[must_use]
    pub fn as_tuple(&self) -> Option<&[Self]> {
        match self {
            Self::Tuple(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements, if it is a proper list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The number, if it is an integer of at most 64 bits.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The bytes, if it is a binary.
    #[must_use]
    pub fn as_binary(&self) -> Option<&Bytes> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The process, if it is a pid.
    #[must_use]
    pub fn as_pid(&self) -> Option<&Pid> {
        match self {
            Self::Pid(pid) => Some(pid),
            _ => None,
        }
    }
}

impl From<Atom> for Term {
    fn from(atom: Atom) -> Self {
        Self::Atom(atom)
    }
}

impl From<bool> for Term {
    fn from(value: bool) -> Self {
        Self::atom(if value { "true" } else { "false" })
    }
}

macro_rules! from_small {
    ($($type:ty)*) => {$(
        impl From<$type> for Term {
            fn from(int: $type) -> Self {
                Self::Int(int.into())
            }
        }
    )*};
}

from_small!(i8 i16 i32 i64 u8 u16 u32);

macro_rules! from_large {
    ($($type:ty)*) => {$(
        impl From<$type> for Term {
            fn from(int: $type) -> Self {
                i64::try_from(int).map_or_else(|_| Self::integer(int), Self::Int)
            }
        }
    )*};
}

from_large!(u64 usize isize i128 u128);

impl From<BigInt> for Term {
    fn from(int: BigInt) -> Self {
        Self::integer(int)
    }
}

impl From<f64> for Term {
    /// The float has to be finite: no other can be encoded.
    fn from(float: f64) -> Self {
        Self::Float(float)
    }
}

impl From<&str> for Term {
    /// A binary in UTF-8; [`Term::string`] makes a list of characters.
    fn from(text: &str) -> Self {
        Self::Binary(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Term {
    /// A binary in UTF-8; [`Term::string`] makes a list of characters.
    fn from(text: String) -> Self {
        Self::Binary(text.into())
    }
}

impl From<Bytes> for Term {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Map> for Term {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<&Self> for Term {
    fn from(term: &Self) -> Self {
        term.clone()
    }
}

impl From<Pid> for Term {
    fn from(pid: Pid) -> Self {
        Self::Pid(Box::new(pid))
    }
}

impl From<Reference> for Term {
    fn from(reference: Reference) -> Self {
        Self::Reference(Box::new(reference))
    }
}

impl<T: Into<Term>> From<Vec<T>> for Term {
    fn from(elements: Vec<T>) -> Self {
        Self::List(elements.into_iter().map(Into::into).collect())
    }
}
