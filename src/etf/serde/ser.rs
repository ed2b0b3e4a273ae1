//! Values to terms.

use bytes::Bytes;
use serde::ser::{self, Serialize};

use super::error::Error;
use super::{Nothing, Options, STRUCT, atom, pass};
use crate::etf::{Map, Term};

/// Makes a [`Term`] of a value: what [`Options::to_term`] serializes into.
#[derive(Debug, Clone, Copy)]
pub struct Serializer<'a>(&'a Options);

type Result<T = Term> = std::result::Result<T, Error>;

impl<'a> Serializer<'a> {
    /// One with these options.
    #[must_use]
    pub fn new(options: &'a Options) -> Self {
        Self(options)
    }
}

/// `Result`'s variants as OTP's functions name them.
fn variant_name(of: &str, variant: &'static str) -> &'static str {
    match (of, variant) {
        ("Result", "Ok") => "ok",
        ("Result", "Err") => "error",
        _ => variant,
    }
}

impl<'a> ser::Serializer for Serializer<'a> {
    type Ok = Term;
    type Error = Error;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Pairs<'a>;
    type SerializeStruct = Pairs<'a>;
    type SerializeStructVariant = Pairs<'a>;

    fn serialize_bool(self, value: bool) -> Result {
        Ok(value.into())
    }

    fn serialize_i8(self, value: i8) -> Result {
        Ok(Term::Int(value.into()))
    }

    fn serialize_i16(self, value: i16) -> Result {
        Ok(Term::Int(value.into()))
    }

    fn serialize_i32(self, value: i32) -> Result {
        Ok(Term::Int(value.into()))
    }

    fn serialize_i64(self, value: i64) -> Result {
        Ok(Term::Int(value))
    }

    fn serialize_i128(self, value: i128) -> Result {
        Ok(Term::integer(value))
    }

    fn serialize_u8(self, value: u8) -> Result {
        Ok(Term::Int(value.into()))
    }

    fn serialize_u16(self, value: u16) -> Result {
        Ok(Term::Int(value.into()))
    }

    fn serialize_u32(self, value: u32) -> Result {
        Ok(Term::Int(value.into()))
    }

    fn serialize_u64(self, value: u64) -> Result {
        Ok(i64::try_from(value).map_or_else(|_| Term::integer(value), Term::Int))
    }

    fn serialize_u128(self, value: u128) -> Result {
        Ok(Term::integer(value))
    }

    fn serialize_f32(self, value: f32) -> Result {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result {
        if value.is_finite() {
            Ok(Term::Float(value))
        } else {
            Err(Error::new(format!("Erlang has no float {value}")))
        }
    }

    fn serialize_char(self, value: char) -> Result {
        Ok(Term::Int(u32::from(value).into()))
    }

    fn serialize_str(self, value: &str) -> Result {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result {
        Ok(Term::Binary(Bytes::copy_from_slice(value)))
    }

    fn serialize_none(self) -> Result {
        Ok(Term::atom(match self.0.none {
            Nothing::Nil => "nil",
            Nothing::Undefined => "undefined",
        }))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        Ok(Term::atom("ok"))
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result {
        Ok(atom(name)?.into())
    }

    fn serialize_unit_variant(self, of: &'static str, _: u32, variant: &'static str) -> Result {
        Ok(atom(variant_name(of, variant))?.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result {
        let term = value.serialize(self)?;
        match (name, term) {
            (pass::TERM, Term::Binary(bytes)) => pass::decoded(bytes.into()),
            (pass::ATOM, Term::Binary(name)) => {
                let name = std::str::from_utf8(&name).unwrap_or_default();
                Ok(atom(name)?.into())
            }
            (_, term) => Ok(term),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        of: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        let tag = variant_name(of, variant);
        let term = value.serialize(self).map_err(|error| error.in_field(tag))?;
        // `Ok(())`: OTP's functions say `ok` alone then.
        let is_unit = size_of_val(value) == 0 && term == Term::atom("ok");
        if tag != variant && is_unit {
            return Ok(atom(tag)?.into());
        }
        Ok(Term::Tuple(vec![atom(tag)?.into(), term]))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Elements<'a>> {
        Ok(Elements::new(self, None, length.unwrap_or(0), Term::List))
    }

    fn serialize_tuple(self, length: usize) -> Result<Elements<'a>> {
        Ok(Elements::new(self, None, length, Term::Tuple))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Elements<'a>> {
        self.serialize_tuple(length)
    }

    fn serialize_tuple_variant(
        self,
        of: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Elements<'a>> {
        let tag = Term::Atom(atom(variant_name(of, variant))?);
        Ok(Elements::new(self, Some(tag), length, Term::Tuple))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Pairs<'a>> {
        Ok(Pairs {
            is_open: length.is_none(),
            ..Pairs::new(self, length.unwrap_or(0))
        })
    }

    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Pairs<'a>> {
        let mut pairs = Pairs::new(self, length + 1);
        if let Some(module) = self.0.module(name) {
            let key = Term::atom(STRUCT);
            pairs.pairs.push((key, atom(&module)?.into()));
        }
        Ok(pairs)
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Pairs<'a>> {
        Ok(Pairs {
            tag: Some(variant_name(of, variant)),
            ..Pairs::new(self, length)
        })
    }
}

/// How many elements room is made for on a length's word, which a `Serialize` may have made up.
const MOST_AT_ONCE: usize = 1024;

/// A list or a tuple under way.
#[derive(Debug)]
pub struct Elements<'a> {
    serializer: Serializer<'a>,
    /// Where the value's own elements begin: after the tag of a variant.
    first: usize,
    elements: Vec<Term>,
    whole: fn(Vec<Term>) -> Term,
}

impl<'a> Elements<'a> {
    fn new(
        serializer: Serializer<'a>,
        tag: Option<Term>,
        length: usize,
        whole: fn(Vec<Term>) -> Term,
    ) -> Self {
        let mut elements =
            Vec::with_capacity(length.min(MOST_AT_ONCE) + usize::from(tag.is_some()));
        elements.extend(tag);
        Self {
            serializer,
            first: elements.len(),
            elements,
            whole,
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let index = self.elements.len() - self.first;
        let term = value.serialize(self.serializer);
        self.elements
            .push(term.map_err(|error| error.in_element(index))?);
        Ok(())
    }

    fn whole(self) -> Result {
        Ok((self.whole)(self.elements))
    }
}

macro_rules! elements {
    ($($trait:ident :: $push:ident,)*) => {$(
        impl ser::$trait for Elements<'_> {
            type Ok = Term;
            type Error = Error;

            fn $push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.push(value)
            }

            fn end(self) -> Result {
                self.whole()
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

/// A map under way.
#[derive(Debug)]
pub struct Pairs<'a> {
    serializer: Serializer<'a>,
    /// The tag of a variant.
    tag: Option<&'static str>,
    /// How many pairs there will be was not said, as it is not of a struct with flattened fields.
    is_open: bool,
    key: Option<Term>,
    pairs: Vec<(Term, Term)>,
}

impl<'a> Pairs<'a> {
    fn new(serializer: Serializer<'a>, length: usize) -> Self {
        Self {
            serializer,
            tag: None,
            is_open: false,
            key: None,
            pairs: Vec::with_capacity(length.min(MOST_AT_ONCE)),
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, key: Term, value: &T) -> Result<()> {
        match value.serialize(self.serializer) {
            Ok(value) if is_module_key(&key) => self.module(value),
            Ok(value) => {
                self.pairs.push((key, value));
                Ok(())
            }
            Err(error) => Err(error.under(&key)),
        }
    }

    /// Puts in which struct of Elixir it is. Its name is an atom, however it is given: as the tag of an enum it is a
    /// text. What is said last counts: the tag, not the name of the struct in a variant.
    fn module(&mut self, name: Term) -> Result<()> {
        let name = match name {
            Term::Binary(text) => match std::str::from_utf8(&text) {
                Ok(text) => atom(text)?.into(),
                Err(_) => Term::Binary(text),
            },
            name => name,
        };
        self.pairs.retain(|(key, _)| !is_module_key(key));
        self.pairs.push((Term::atom(STRUCT), name));
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        let key = atom(name)?.into();
        let pushed = self.push(key, value);
        match self.tag {
            Some(tag) => pushed.map_err(|error| error.in_field(tag)),
            None => pushed,
        }
    }

    fn whole(self) -> Result {
        let map = Map::unique(self.pairs).map_err(|twice| Error::new(twice.to_string()))?;
        let map = Term::Map(map);
        Ok(match self.tag {
            Some(tag) => Term::Tuple(vec![atom(tag)?.into(), map]),
            None => map,
        })
    }
}

/// Whether it is the key under which a struct of Elixir has its module.
fn is_module_key(key: &Term) -> bool {
    match key {
        Term::Atom(key) => *key == STRUCT,
        Term::Binary(key) => **key == *STRUCT.as_bytes(),
        _ => false,
    }
}

impl ser::SerializeMap for Pairs<'_> {
    type Ok = Term;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = Some(key.serialize(self.serializer)?);
        Ok(())
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<()> {
        let mut key_term = key.serialize(self.serializer)?;
        // A struct with flattened fields is a map to serde, but its keys are names of fields: those of a map are
        // references to what it holds.
        if self.is_open
            && std::any::type_name::<K>() == "str"
            && let Term::Binary(name) = &key_term
            && let Ok(name) = std::str::from_utf8(name)
        {
            key_term = atom(name)?.into();
        }
        self.push(key_term, value)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = self.key.take();
        let key = key.ok_or_else(|| Error::new("a value was given before its key"))?;
        self.push(key, value)
    }

    fn end(self) -> Result {
        self.whole()
    }
}

impl ser::SerializeStruct for Pairs<'_> {
    type Ok = Term;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        self.field(name, value)
    }

    fn end(self) -> Result {
        self.whole()
    }
}

impl ser::SerializeStructVariant for Pairs<'_> {
    type Ok = Term;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        self.field(name, value)
    }

    fn end(self) -> Result {
        self.whole()
    }
}
