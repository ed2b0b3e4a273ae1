//! Terms inside of Rust's types, which pass as they are.
//!
//! serde's data model has no word for a pid or an improper list. What it has none for goes through it
//! as the bytes of its external format, in a newtype struct of a name that this crate's serializer and
//! deserializer know. In another format it is these bytes; an [`Atom`] is a text there.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{self, Serialize, Serializer};

use crate::etf::{Atom, Export, Pid, Port, Reference, Term, decode, encode};

/// The name under which the bytes of a term pass.
pub(super) const TERM: &str = "$rendez::etf::Term";
/// The name under which an atom passes.
pub(super) const ATOM: &str = "$rendez::etf::Atom";

/// Bytes that serde takes for bytes.
struct Encoded(Vec<u8>);

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl Serialize for Term {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let bytes = encode(self).map_err(ser::Error::custom)?;
        to.serialize_newtype_struct(TERM, &Encoded(bytes))
    }
}

impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_newtype_struct(ATOM, self.as_str())
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_newtype_struct(TERM, EncodedVisitor)
    }
}

struct EncodedVisitor;

impl<'de> Visitor<'de> for EncodedVisitor {
    type Value = Term;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a term in the external term format")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Term, D::Error> {
        from.deserialize_byte_buf(self)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Term, E> {
        decode(&Bytes::copy_from_slice(bytes)).map_err(E::custom)
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Term, E> {
        decode(&bytes.into()).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Term, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = elements.next_element()? {
            bytes.push(byte);
        }
        self.visit_byte_buf(bytes)
    }
}

impl<'de> Deserialize<'de> for Atom {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_newtype_struct(ATOM, AtomVisitor)
    }
}

struct AtomVisitor;

impl<'de> Visitor<'de> for AtomVisitor {
    type Value = Atom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an atom")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Atom, D::Error> {
        from.deserialize_str(self)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Atom, E> {
        Atom::try_from(name).map_err(E::custom)
    }
}

/// What a term has to be to be one of these.
trait Kind: Sized {
    const NAME: &'static str;
    fn of(term: Term) -> Result<Self, Term>;
    fn term(&self) -> Term;
}

macro_rules! pass {
    ($($type:ident, $name:literal;)*) => {$(
        impl Kind for $type {
            const NAME: &'static str = $name;

            fn of(term: Term) -> Result<Self, Term> {
                match term {
                    Term::$type(value) => Ok(*value),
                    other => Err(other),
                }
            }

            fn term(&self) -> Term {
                Term::$type(Box::new(self.clone()))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                self.term().serialize(to)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_newtype_struct(TERM, KindVisitor(PhantomData))
            }
        }
    )*};
}

pass! {
    Pid, "a pid";
    Port, "a port";
    Reference, "a reference";
    Export, "a fun of the form fun module:function/arity";
}

struct KindVisitor<K>(PhantomData<K>);

impl<'de, K: Kind> Visitor<'de> for KindVisitor<K> {
    type Value = K;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::NAME)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<K, D::Error> {
        let term = from.deserialize_byte_buf(EncodedVisitor)?;
        K::of(term)
            .map_err(|term| de::Error::custom(super::Error::expected(K::NAME, &term).message()))
    }
}
