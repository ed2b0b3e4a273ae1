//! Bytes as a binary, where serde would make a list or a tuple of numbers of them: for `Vec<u8>`, `[u8; N]`,
//! `Box<[u8]>`, `Arc<[u8]>`, [`Bytes`], and `Option`s of these, which are `nil` or `undefined` where there are
//! none.
//!
//! ```
//! #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
//! struct File {
//!     #[serde(with = "rendez::etf::serde::binary")]
//!     content: Vec<u8>,
//!     #[serde(with = "rendez::etf::serde::binary")]
//!     digest: [u8; 2],
//!     #[serde(with = "rendez::etf::serde::binary", default)]
//!     signature: Option<Vec<u8>>,
//! }
//!
//! let file = File { content: b"abc".to_vec(), digest: *b"de", signature: None };
//! let term = rendez::etf::to_term(&file)?;
//! assert_eq!(term.to_string(), "#{content => <<\"abc\">>,digest => <<\"de\">>,signature => nil}");
//! assert_eq!(rendez::etf::from_term::<File>(&term)?, file);
//! # Ok::<(), rendez::etf::SerdeError>(())
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A type whose values are written as a binary.
pub trait Binary: Sized {
    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error>;

    /// Reads it.
    ///
    /// # Errors
    /// The deserializer's.
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;
}

/// Writes bytes as a binary.
///
/// # Errors
/// The serializer's.
pub fn serialize<T: Binary, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    value.write(to)
}

/// Reads bytes from a binary or a list of bytes.
///
/// # Errors
/// The deserializer's. An array has to have as many bytes as the binary.
pub fn deserialize<'de, T: Binary, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::read(from)
}

macro_rules! binary {
    ($($type:ty),*) => {$(
        impl Binary for $type {
            fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_bytes(self)
            }

            fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_byte_buf(Content).map(Self::from)
            }
        }
    )*};
}

binary!(Vec<u8>, Box<[u8]>, Arc<[u8]>, Bytes);

impl<const N: usize> Binary for [u8; N] {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = from.deserialize_byte_buf(Content)?;
        let length = bytes.len();
        bytes.try_into().map_err(|_| {
            let wanted = format!("{N} bytes");
            de::Error::invalid_length(length, &&*wanted)
        })
    }
}

impl<T: Binary> Binary for Option<T> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => to.serialize_some(&Written(value)),
            None => to.serialize_none(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_option(Perhaps(PhantomData))
    }
}

struct Written<'a, T>(&'a T);

impl<T: Binary> Serialize for Written<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.write(to)
    }
}

struct Perhaps<T>(PhantomData<T>);

impl<'de, T: Binary> Visitor<'de> for Perhaps<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes or none")
    }

    fn visit_none<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        T::read(from).map(Some)
    }
}

struct Content;

impl<'de> Visitor<'de> for Content {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<u8>, A::Error> {
        // How many are declared is another format's word, and no reason to make room.
        let mut bytes = Vec::new();
        while let Some(byte) = elements.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
