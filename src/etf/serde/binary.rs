//! Bytes as a binary, where serde would make a list of numbers of them.
//!
//! ```
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct File {
//!     #[serde(with = "rendez::etf::serde::binary")]
//!     content: Vec<u8>,
//! }
//!
//! let term = rendez::etf::to_term(&File { content: b"abc".to_vec() })?;
//! assert_eq!(term.to_string(), "#{content => <<\"abc\">>}");
//! # Ok::<(), rendez::etf::SerdeError>(())
//! ```

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;

/// Writes bytes as a binary.
///
/// # Errors
/// The serializer's.
pub fn serialize<T: AsRef<[u8]>, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(value.as_ref())
}

/// Reads bytes from a binary or a list of bytes.
///
/// # Errors
/// The deserializer's.
pub fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_byte_buf(Bytes(PhantomData))
}

struct Bytes<T>(PhantomData<T>);

impl<'de, T: From<Vec<u8>>> Visitor<'de> for Bytes<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<T, E> {
        Ok(bytes.to_vec().into())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<T, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<T, A::Error> {
        // How many are declared is another format's word, and no reason to make room.
        let mut bytes = Vec::new();
        while let Some(byte) = elements.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes.into())
    }
}
