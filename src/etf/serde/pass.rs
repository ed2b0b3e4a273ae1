//! Terms inside of Rust's types, which pass as they are.
//!
//! serde's data model has no word for a pid or an improper list. What it has none for goes through it
//! as the bytes of its external format, in a newtype struct of a name that this crate's serializer and
//! deserializer know. In another format it is these bytes; an [`Atom`] is a text there.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::{self, Serialize, Serializer};

use crate::etf::{Atom, Export, Limits, Map, Pid, Port, Reference, Term, decode_with, encode};

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

/// Whether an error is this crate's. Then what is deserialized comes from a term: at once, or out of a buffer that
/// serde makes for untagged and internally tagged enums and for flattened fields.
fn is_from_a_term<E>() -> bool {
    std::any::type_name::<E>() == std::any::type_name::<super::Error>()
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_newtype_struct(TERM, TermVisitor)
    }
}

struct TermVisitor;

impl<'de> Visitor<'de> for TermVisitor {
    type Value = Term;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a term")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Term, D::Error> {
        if is_from_a_term::<D::Error>() {
            from.deserialize_any(Buffered)
        } else {
            from.deserialize_byte_buf(EncodedVisitor)
        }
    }
}

/// Makes a term again of what [`Deserializer::deserialize_any`](super::Deserializer) made of one.
///
/// Its owned texts are atoms, its borrowed ones binaries; `undefined` is none, `nil` is unit. A tuple cannot be told
/// from a list. What serde has no word for is in a newtype struct, as the bytes of its external format.
struct Buffered;

impl<'de> Visitor<'de> for Buffered {
    type Value = Term;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a term")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Term, D::Error> {
        from.deserialize_byte_buf(EncodedVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_i128<E>(self, value: i128) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Term, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Term, E> {
        Ok(Term::atom("nil"))
    }

    fn visit_none<E>(self) -> Result<Term, E> {
        Ok(Term::atom("undefined"))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Term, E> {
        Atom::try_from(name).map(Term::Atom).map_err(E::custom)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Term, E> {
        Ok(text.into())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Term, E> {
        Ok(Term::Binary(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Term, E> {
        Ok(Term::binary(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Term, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Term::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Term, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Map::unique(map).map(Term::Map).map_err(de::Error::custom)
    }
}

/// What a value is given that came from a term of any size.
const UNBOUNDED: Limits = Limits {
    depth: u16::MAX,
    memory: usize::MAX,
    memory_per_byte: usize::MAX,
    max_memory: usize::MAX,
};

/// Reads the bytes of the external format.
pub(super) fn decoded<E: de::Error>(bytes: Vec<u8>) -> Result<Term, E> {
    let limits = if is_from_a_term::<E>() {
        UNBOUNDED
    } else {
        Limits::default()
    };
    decode_with(&bytes.into(), limits).map_err(E::custom)
}

struct EncodedVisitor;

impl<'de> Visitor<'de> for EncodedVisitor {
    type Value = Term;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a term in the external term format")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Term, E> {
        decoded(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Term, E> {
        decoded(bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Term, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = elements.next_element()? {
            bytes.push(byte);
        }
        decoded(bytes)
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
        if is_from_a_term::<D::Error>() {
            from.deserialize_any(self)
        } else {
            from.deserialize_str(self)
        }
    }

    fn visit_bool<E>(self, value: bool) -> Result<Atom, E> {
        Ok(Atom::new(if value { "true" } else { "false" }))
    }

    fn visit_unit<E>(self) -> Result<Atom, E> {
        Ok(Atom::new("nil"))
    }

    fn visit_none<E>(self) -> Result<Atom, E> {
        Ok(Atom::new("undefined"))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Atom, E> {
        if is_from_a_term::<E>() {
            // See `Buffered`.
            return Err(E::invalid_type(Unexpected::Other("a binary"), &self));
        }
        self.visit_str(text)
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
        let term = TermVisitor.visit_newtype_struct(from)?;
        K::of(term)
            .map_err(|term| de::Error::custom(super::Error::expected(K::NAME, &term).message()))
    }
}
