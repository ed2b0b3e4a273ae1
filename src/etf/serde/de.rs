//! Terms to values.

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor, value::StrDeserializer};

use super::error::{Error, elixir_name};
use super::{Options, STRUCT, pass};
use crate::etf::{Atom, Map, Term, encode};

/// Makes a value of a [`Term`]: what [`Options::from_term`] deserializes from.
#[derive(Debug, Clone, Copy)]
pub struct Deserializer<'de> {
    term: &'de Term,
    options: &'de Options,
    /// How deep the term is in the one that is read.
    depth: u16,
}

/// How deep values may be nested: reading them takes the thread's stack.
const MOST_DEPTH: u16 = 512;

type Result<T> = std::result::Result<T, Error>;

impl<'de> Deserializer<'de> {
    /// One that reads this term with these options.
    #[must_use]
    pub fn new(term: &'de Term, options: &'de Options) -> Self {
        Self {
            term,
            options,
            depth: 0,
        }
    }

    /// The same options for a term within this one.
    fn of(self, term: &'de Term) -> Result<Self> {
        let depth = self.depth + 1;
        if depth > MOST_DEPTH {
            return Err(Error::new(format!(
                "values nest deeper than {MOST_DEPTH}; read what is this deep as a Term"
            )));
        }
        Ok(Self {
            term,
            depth,
            ..self
        })
    }

    fn expected<T>(self, what: &str) -> Result<T> {
        Err(Error::expected(what, self.term))
    }

    fn integer(self, what: &str) -> Result<i128> {
        let number = match self.term {
            Term::Int(number) => Some(i128::from(*number)),
            Term::BigInt(number) => i128::try_from(&**number).ok(),
            _ => return self.expected("an integer"),
        };
        number.map_or_else(|| self.expected(what), Ok)
    }

    fn float(self) -> Result<f64> {
        match self.term {
            Term::Float(number) => Ok(*number),
            // As Erlang itself does where it wants a float.
            #[allow(clippy::cast_precision_loss)]
            Term::Int(number) => Ok(*number as f64),
            _ => self.expected("a number"),
        }
    }

    /// The text of a binary, or of a list of characters, which is Erlang's string.
    fn text(self) -> Result<Text<'de>> {
        match self.term {
            Term::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Text::Borrowed(text)),
                Err(_) => self.expected("a text in UTF-8"),
            },
            Term::List(elements) => {
                let character = |term: &Term| char::from_u32(u32::try_from(term.as_int()?).ok()?);
                let text: Option<String> = elements.iter().map(character).collect();
                text.map_or_else(|| self.expected("a text"), |text| Ok(Text::Owned(text)))
            }
            _ => self.expected("a text"),
        }
    }

    fn elements(self) -> Option<Elements<'de>> {
        match self.term {
            Term::List(elements) | Term::Tuple(elements) => Some(self.elements_of(elements)),
            _ => None,
        }
    }

    fn elements_of(self, elements: &'de [Term]) -> Elements<'de> {
        Elements {
            parent: self,
            elements: elements.iter(),
            index: 0,
        }
    }

    fn pairs_of(self, map: &'de Map) -> Pairs<'de> {
        Pairs {
            parent: self,
            source: Source::Map(map.iter()),
            value: None,
            is_struct: false,
        }
    }

    /// The pairs of a map or a proplist.
    fn pairs(self) -> Option<Pairs<'de>> {
        let is_pair = |term: &Term| matches!(term, Term::Tuple(pair) if pair.len() == 2);
        match self.term {
            Term::Map(map) => Some(self.pairs_of(map)),
            Term::List(elements) if elements.iter().all(is_pair) => Some(Pairs {
                parent: self,
                source: Source::Proplist(elements.iter()),
                value: None,
                is_struct: false,
            }),
            _ => None,
        }
    }

    /// Whether it is a struct of Elixir.
    fn is_struct(self) -> bool {
        matches!(self.term, Term::Map(map) if matches!(map.get_atom(STRUCT), Some(Term::Atom(_))))
    }

    fn is_nothing(self) -> bool {
        self.term
            .as_atom()
            .is_some_and(|atom| *atom == "nil" || *atom == "undefined")
    }

    /// Gives a term as the bytes of its external format.
    fn encoded<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let bytes = encode(self.term).map_err(|error| Error::new(error.to_string()))?;
        visitor.visit_newtype_struct(Encoded(&bytes))
    }
}

/// The bytes of a term, in a newtype struct: so they are told from a binary.
struct Encoded<'a>(&'a [u8]);

impl<'de> de::Deserializer<'de> for Encoded<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(de::value::BytesDeserializer::<Error>::new(self.0))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

enum Text<'de> {
    Borrowed(&'de str),
    Owned(String),
}

macro_rules! integers {
    ($($deserialize:ident, $visit:ident, $type:ty, $what:literal;)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            let number = self.integer($what)?;
            match <$type>::try_from(number) {
                Ok(number) => visitor.$visit(number),
                Err(_) => self.expected($what),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Deserializer<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.term {
            // An atom's text is owned, a binary's borrowed: see `pass::Buffered`.
            Term::Atom(atom) => match atom.as_str() {
                "nil" => visitor.visit_unit(),
                "undefined" => visitor.visit_none(),
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                name => visitor.visit_string(name.to_owned()),
            },
            Term::Int(number) => visitor.visit_i64(*number),
            Term::BigInt(number) => match (u64::try_from(&**number), i128::try_from(&**number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i128(number),
                _ => self.encoded(visitor),
            },
            Term::Float(number) => visitor.visit_f64(*number),
            Term::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(bytes),
            },
            Term::List(elements) | Term::Tuple(elements) => {
                self.elements_of(elements).visit(visitor)
            }
            Term::Map(map) => visitor.visit_map(self.pairs_of(map)),
            _ => self.encoded(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.term.as_atom().map(Atom::as_str) {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => self.expected("true or false"),
        }
    }

    integers! {
        deserialize_i8, visit_i8, i8, "an integer from -128 to 127";
        deserialize_i16, visit_i16, i16, "an integer of 16 bits";
        deserialize_i32, visit_i32, i32, "an integer of 32 bits";
        deserialize_i64, visit_i64, i64, "an integer of 64 bits";
        deserialize_u8, visit_u8, u8, "an integer from 0 to 255";
        deserialize_u16, visit_u16, u16, "an integer from 0 to 65535";
        deserialize_u32, visit_u32, u32, "an integer from 0 to 4294967295";
        deserialize_u64, visit_u64, u64, "an integer of 64 bits, not negative";
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i128(self.integer("an integer of 128 bits")?)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let what = "an integer of 128 bits, not negative";
        let number = match self.term {
            Term::BigInt(number) => u128::try_from(&**number).ok(),
            _ => u128::try_from(self.integer(what)?).ok(),
        };
        number.map_or_else(|| self.expected(what), |number| visitor.visit_u128(number))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let code = self.term.as_int();
        if let Some(c) = code.and_then(|code| char::from_u32(u32::try_from(code).ok()?)) {
            return visitor.visit_char(c);
        }
        match self.text() {
            Ok(Text::Borrowed(text)) if text.chars().count() == 1 => visitor.visit_str(text),
            Ok(Text::Owned(text)) if text.chars().count() == 1 => visitor.visit_string(text),
            _ => self.expected("a character"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.text()? {
            Text::Borrowed(text) => visitor.visit_borrowed_str(text),
            Text::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.term {
            Term::Binary(bytes) => visitor.visit_borrowed_bytes(bytes),
            Term::List(elements) => {
                let byte = |term: &Term| u8::try_from(term.as_int()?).ok();
                match elements.iter().map(byte).collect() {
                    Some(bytes) => visitor.visit_byte_buf(bytes),
                    None => self.expected("bytes"),
                }
            }
            _ => self.expected("a binary"),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.is_nothing() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.term {
            Term::Atom(atom) if *atom == "ok" || self.is_nothing() => visitor.visit_unit(),
            Term::Tuple(elements) if elements.is_empty() => visitor.visit_unit(),
            _ => self.expected("ok"),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match self.term {
            Term::Atom(atom) if *atom == name => visitor.visit_unit(),
            _ => self.expected(&format!("the atom {name}")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match name {
            pass::TERM => self.encoded(visitor),
            pass::ATOM => match self.term {
                Term::Atom(atom) => {
                    let name: StrDeserializer<'_, Error> = atom.as_str().into_deserializer();
                    visitor.visit_newtype_struct(name)
                }
                _ => self.expected("an atom"),
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match (self.term, self.elements()) {
            (_, Some(elements)) => elements.visit(visitor),
            (Term::Binary(bytes), None) => visitor.visit_seq(Bytes {
                bytes: bytes.iter(),
                index: 0,
            }),
            _ => self.expected("a list"),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        match self.elements() {
            Some(elements) if elements.elements.len() == length => elements.visit(visitor),
            _ => self.expected(&format!("a tuple of {length}")),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.pairs() {
            Some(pairs) => visitor.visit_map(pairs),
            None => self.expected("a map"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let Some(pairs) = self.pairs() else {
            return self.expected("a map");
        };
        if let (Some(wanted), Term::Map(map)) = (self.options.module(name), self.term) {
            let found = map.get_atom(STRUCT).and_then(Term::as_atom);
            if found.is_none_or(|found| *found != wanted.as_str()) {
                let wanted = wanted.trim_start_matches(super::ELIXIR);
                return Err(match found {
                    Some(found) => Error::new(format!(
                        "expected a %{wanted}{{}}, got a %{}{{}}",
                        elixir_name(found)
                    )),
                    None => Error::expected(&format!("a %{wanted}{{}}"), self.term),
                });
            }
        }
        visitor.visit_map(Pairs {
            is_struct: true,
            ..pairs
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let (tag, payload) = match self.term {
            Term::Atom(tag) => (tag, &[][..]),
            Term::Tuple(elements) => match elements.split_first() {
                Some((Term::Atom(tag), payload)) => (tag, payload),
                _ => return self.expected("an atom or a tuple that begins with one"),
            },
            _ => return self.expected("an atom or a tuple that begins with one"),
        };
        visitor.visit_enum(Tagged {
            parent: self,
            variant: match (name, tag.as_str()) {
                ("Result", "ok") => "Ok",
                ("Result", "error") => "Err",
                (_, tag) => tag,
            },
            tag,
            payload,
        })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.term {
            Term::Atom(atom) => visitor.visit_borrowed_str(atom.as_str()),
            Term::Int(_) => self.deserialize_u64(visitor),
            _ => self.deserialize_str(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

/// The elements of a list or tuple.
struct Elements<'de> {
    parent: Deserializer<'de>,
    elements: std::slice::Iter<'de, Term>,
    index: usize,
}

impl<'de> Elements<'de> {
    /// Has all of them read.
    fn visit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let count = self.elements.len();
        let value = visitor.visit_seq(&mut self)?;
        match self.elements.len() {
            0 => Ok(value),
            left => Err(Error::new(format!(
                "expected {} elements, got {count}",
                count - left
            ))),
        }
    }
}

impl<'de> de::SeqAccess<'de> for &mut Elements<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(term) = self.elements.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        let value = self.parent.of(term).and_then(|term| seed.deserialize(term));
        value.map(Some).map_err(|error| error.in_element(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

/// The bytes of a binary, where a list of numbers is wanted.
struct Bytes<'de> {
    bytes: std::slice::Iter<'de, u8>,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for Bytes<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(byte) = self.bytes.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        let byte: de::value::U8Deserializer<Error> = byte.into_deserializer();
        let value = seed.deserialize(byte);
        value.map(Some).map_err(|error| error.in_element(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len())
    }
}

enum Source<'de> {
    Map(std::slice::Iter<'de, (Term, Term)>),
    Proplist(std::slice::Iter<'de, Term>),
}

/// The pairs of a map or proplist.
struct Pairs<'de> {
    parent: Deserializer<'de>,
    source: Source<'de>,
    /// The pair whose value is next.
    value: Option<(&'de Term, &'de Term)>,
    /// Whether `__struct__` is no field.
    is_struct: bool,
}

impl<'de> Pairs<'de> {
    fn next(&mut self) -> Option<(&'de Term, &'de Term)> {
        loop {
            let (key, value) = match &mut self.source {
                Source::Map(pairs) => pairs.next().map(|(key, value)| (key, value))?,
                Source::Proplist(elements) => match elements.next()?.as_tuple()? {
                    [key, value] => (key, value),
                    _ => return None,
                },
            };
            let is_module = matches!(key, Term::Atom(key) if *key == STRUCT);
            if !(self.is_struct && is_module) {
                return Some((key, value));
            }
        }
    }
}

impl<'de> de::MapAccess<'de> for Pairs<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.value = self.next();
        match self.value {
            Some((key, _)) => {
                let key_of = |term| Key(term, self.parent.is_struct());
                let read = self.parent.of(key).map(key_of);
                let read = read.and_then(|key| seed.deserialize(key));
                read.map(Some)
                    .map_err(|error| Error::new(format!("the key {key} of the map: {error}")))
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let (key, value) = self
            .value
            .take()
            .ok_or_else(|| Error::new("a value was asked for before its key"))?;
        let value = self
            .parent
            .of(value)
            .and_then(|value| seed.deserialize(value));
        value.map_err(|error| error.under(key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(match &self.source {
            Source::Map(pairs) => pairs.len(),
            Source::Proplist(elements) => elements.len(),
        })
    }
}

/// A key, whose text may be an atom's, and whether it is one of an Elixir struct.
#[derive(Clone, Copy)]
struct Key<'de>(Deserializer<'de>, bool);

/// Whether serde only keeps what it is given, to try it on the variants of an untagged enum.
///
/// A variant that is a struct does not say its name then, so that it would be filled from any Elixir struct with
/// such fields. A key that is not a text is an error.
fn is_for_untagged<V>() -> bool {
    std::any::type_name::<V>().ends_with("::ContentVisitor")
        || std::any::type_name::<V>().contains("::ContentVisitor<")
}

macro_rules! as_the_term {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.0.$name(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let is_module = matches!(self.0.term, Term::Atom(key) if *key == STRUCT);
        if self.1 && is_module && is_for_untagged::<V>() {
            return self.0.encoded(visitor);
        }
        self.0.deserialize_any(visitor)
    }

    as_the_term! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_seq deserialize_map
        deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.term {
            Term::Atom(atom) => visitor.visit_borrowed_str(atom.as_str()),
            _ => self.0.deserialize_str(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.0.is_nothing() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match name {
            pass::TERM | pass::ATOM => self.0.deserialize_newtype_struct(name, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.0.deserialize_tuple(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.0.deserialize_tuple_struct(name, length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.0.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.0.deserialize_enum(name, variants, visitor)
    }
}

/// An atom, or a tuple that begins with one.
struct Tagged<'de> {
    parent: Deserializer<'de>,
    /// The variant that the tag stands for.
    variant: &'de str,
    tag: &'de Atom,
    payload: &'de [Term],
}

impl<'de> Tagged<'de> {
    fn expected<T>(&self, what: &str) -> Result<T> {
        self.parent
            .expected(&what.replace("tag", &self.tag.to_string()))
    }
}

impl<'de> de::EnumAccess<'de> for Tagged<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let variant: StrDeserializer<'_, Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Tagged<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        if self.payload.is_empty() {
            Ok(())
        } else {
            self.expected("the atom tag")
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        match self.payload {
            [term] => {
                let value = self.parent.of(term).and_then(|term| seed.deserialize(term));
                value.map_err(|error| error.in_field(self.tag.to_string()))
            }
            // `ok` alone: what `Ok(())` is.
            [] if self.variant != self.tag.as_str() => {
                let unit: de::value::UnitDeserializer<Error> = ().into_deserializer();
                let value = seed.deserialize(unit);
                value.or_else(|_| self.expected("{tag, Value}"))
            }
            _ => self.expected("{tag, Value}"),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        if self.payload.len() != length {
            return self.expected(&format!("a tuple of tag and {length} more"));
        }
        self.parent.elements_of(self.payload).visit(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.payload {
            [Term::Map(map)] => {
                let value = visitor.visit_map(self.parent.pairs_of(map));
                value.map_err(|error| error.in_field(self.tag.to_string()))
            }
            _ => self.expected("{tag, #{...}}"),
        }
    }
}
