//! A term of Erlang as a value of Rust.

use bytes::Bytes;
use num_bigint::BigInt;

use super::atom::Atom;
use super::map::Map;

/// A term of Erlang.
///
/// Two terms are equal when Erlang's `=:=` says so: `1` is not `1.0`. The one departure is that `0.0` and `-0.0`
/// differ, as they do since OTP 27. `Ord` is Erlang's order of terms, in which `1` comes just before `1.0`.
///
/// Comparing, hashing, cloning, encoding, decoding and printing a term take no more of the thread's stack when it
/// nests deeper. Dropping does, up to 160 bytes a level: see [`Limits::depth`](super::Limits::depth).
///
/// `Display` writes all of a term, `Debug` at most 4,096 bytes of it; [`Term::shape`] shows what a log may.
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
#[derive(Clone, PartialEq, Eq, Hash)]
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

/// A process identifier.
#[derive(Clone, PartialEq, Eq, Hash)]
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
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// The node that the port is open on.
    pub node: Atom,
    /// Its number there.
    pub id: u64,
    /// Which life of the node it belongs to.
    pub creation: u32,
}

/// A reference: unique in a cluster for as long as it lives.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The node that made it.
    pub node: Atom,
    /// Which life of the node it belongs to.
    pub creation: u32,
    /// One to five words.
    pub id: Vec<u32>,
}

/// `fun Module:Function/Arity`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Export {
    /// The module.
    pub module: Atom,
    /// The function.
    pub function: Atom,
    /// How many arguments it takes.
    pub arity: u8,
}

/// A fun with an environment. Its fields go back to its node as they came.
#[derive(Clone, PartialEq, Eq, Hash)]
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

    /// The map, if it is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
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
