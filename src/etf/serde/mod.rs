//! Rust's own types as terms, and back, with [`serde`](https://serde.rs).
//!
//! ```
//! use rendez::etf::{self, Term};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct User {
//!     name: String,
//!     age: Option<u8>,
//!     state: State,
//! }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! #[serde(rename_all = "snake_case")]
//! enum State {
//!     Idle,
//!     Busy { since: u64 },
//!     Moved(String, u32),
//! }
//!
//! let state = State::Moved("shop".into(), 7);
//! let user = User { name: "Åsa".into(), age: None, state };
//! let term = etf::to_term(&user)?;
//! assert_eq!(
//!     term.to_string(),
//!     r#"#{age => nil,name => <<"Åsa"/utf8>>,state => {moved,<<"shop">>,7}}"#
//! );
//! assert_eq!(etf::from_term::<User>(&term)?, user);
//!
//! let wrong: Term = "#{name => <<\"x\">>, age => old, state => idle}".parse().unwrap();
//! let error = etf::from_term::<User>(&wrong).unwrap_err();
//! assert_eq!(error.to_string(), "age: expected an integer, got the atom old");
//! # Ok::<(), etf::SerdeError>(())
//! ```
//!
//! | Rust | Erlang | also read from |
//! | --- | --- | --- |
//! | `bool` | `true`, `false` | |
//! | integers to 128 bits | integers | |
//! | `f32`, `f64`, finite | floats | integers |
//! | `char` | its number, as Erlang's `$a` | a text of one character |
//! | `String`, `&str` | binaries in UTF-8 | strings (lists of characters), but not for `&str`; in keys also atoms |
//! | bytes: [`binary`], also for `[u8; N]` and `Option`; `serde_bytes` | binaries | lists of bytes |
//! | `()` | `ok` | `nil`, `undefined`, `{}` |
//! | `Option` | `nil` or `undefined`, see [`Options::none`]; else the value | either |
//! | `Vec`, sets | lists | tuples; binaries, if the elements are numbers |
//! | tuples, tuple structs | tuples | lists |
//! | newtype structs | what they hold | |
//! | unit structs | the atom of their name | |
//! | `HashMap` and the like | maps | proplists: lists of pairs |
//! | structs | maps with atoms as keys | maps with binaries as keys |
//! | a struct renamed to `Elixir.My.User` | `%My.User{}`, that is, with `__struct__` | only that struct |
//! | `Variant` | `variant` as [`rename_all`](https://serde.rs/container-attrs.html) has it | |
//! | `Variant(A)`, `Variant(A, B)` | `{variant, A}`, `{variant, A, B}`: so are records | |
//! | `Variant { field }` | `{variant, #{field => ...}}` | |
//! | enums with `#[serde(tag = "__struct__")]` | the Elixir struct that each variant is [renamed](https://serde.rs/variant-attrs.html#rename) to | |
//! | enums with another `tag` | maps with atoms as keys, and the tag as a binary | the tag as an atom |
//! | structs with `flatten` | maps with atoms as keys; what is flattened from a map of texts has binaries | |
//! | `Result` | `{ok, Value}`, `{error, Reason}`; `Ok(())` is `ok` | |
//! | [`Term`], [`Atom`], [`Pid`], [`Port`], [`Reference`], [`Export`] | themselves | |
//!
//! One of several Elixir structs is an enum with `tag = "__struct__"`:
//!
//! ```
//! # use rendez::etf::{self, Term};
//! # use serde::{Deserialize, Serialize};
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! #[serde(tag = "__struct__")]
//! enum Event {
//!     #[serde(rename = "Elixir.Shop.Created")]
//!     Created { id: u32 },
//!     #[serde(rename = "Elixir.Shop.Deleted")]
//!     Deleted { id: u32 },
//! }
//!
//! let term: Term = "#{'__struct__' => 'Elixir.Shop.Deleted',id => 7}".parse().unwrap();
//! assert_eq!(etf::from_term::<Event>(&term)?, Event::Deleted { id: 7 });
//! assert_eq!(etf::to_term(&Event::Deleted { id: 7 })?, term);
//! # Ok::<(), etf::SerdeError>(())
//! ```
//!
//! In an `untagged` enum no variant that is a struct is read from an Elixir struct, since serde does not say there
//! which struct a variant is. A variant with a [`Term`] is.
//!
//! What serde keeps in a buffer, in untagged and tagged enums and in flattened fields, is not told as exactly: an atom
//! is also read as a text there, and a [`Term`] has a list where there is a tuple.
//!
//! Values nest at most 512 deep. Larger integers than 128 bits are read into a [`Term`]. Types that tell texts from bytes by
//! `is_human_readable`, such as `IpAddr`, are texts.
//!
//! [`Atom`]: super::Atom
//! [`Pid`]: super::Pid
//! [`Port`]: super::Port
//! [`Reference`]: super::Reference
//! [`Export`]: super::Export

pub mod binary;
mod de;
mod error;
mod pass;
mod ser;

pub use de::Deserializer;
pub use error::Error;
pub use ser::Serializer;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Atom, Term, decode, encode};

/// The key of an Elixir struct's module.
const STRUCT: &str = "__struct__";
/// How the names of Elixir's modules begin.
const ELIXIR: &str = "Elixir.";

/// What `None` is written as. Either is read as `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nothing {
    /// `nil`, as Elixir has it.
    #[default]
    Nil,
    /// `undefined`, as Erlang has it.
    Undefined,
}

/// How values are written and read.
///
/// ```
/// use rendez::etf::serde::{Nothing, Options};
/// # #[derive(serde::Serialize)] struct User { name: Option<String> }
/// # let user = User { name: None };
/// let erlang = Options::new().none(Nothing::Undefined);
/// assert_eq!(erlang.to_term(&user)?.to_string(), "#{name => undefined}");
/// let elixir = Options::new().elixir_structs("MyApp");
/// assert_eq!(
///     elixir.to_term(&user)?.to_string(),
///     "#{'__struct__' => 'Elixir.MyApp.User',name => nil}"
/// );
/// # Ok::<(), rendez::etf::SerdeError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    none: Nothing,
    elixir: Option<String>,
}

impl Options {
    /// `None` is `nil`, structs are plain maps unless their names begin with `Elixir.`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses what `None` is written as.
    #[must_use]
    pub fn none(self, none: Nothing) -> Self {
        Self { none, ..self }
    }

    /// Every struct is one of Elixir's, in this namespace: `User` is `%MyApp.User{}` with `"MyApp"`, and
    /// `%User{}` with `""`. A struct whose name begins with `Elixir.` says its module itself.
    #[must_use]
    pub fn elixir_structs(self, namespace: &str) -> Self {
        let elixir = Some(namespace.to_owned());
        Self { elixir, ..self }
    }

    /// A value as a term.
    ///
    /// # Errors
    /// See [`to_term`].
    pub fn to_term<T: Serialize + ?Sized>(&self, value: &T) -> Result<Term, Error> {
        value.serialize(Serializer::new(self))
    }

    /// A term as a value.
    ///
    /// # Errors
    /// See [`from_term`].
    pub fn from_term<'de, T: Deserialize<'de>>(&'de self, term: &'de Term) -> Result<T, Error> {
        T::deserialize(Deserializer::new(term, self))
    }

    /// The module that a Rust struct of this name is a struct of, if of any.
    fn module(&self, name: &str) -> Option<String> {
        match &self.elixir {
            _ if name.starts_with(ELIXIR) => Some(name.to_owned()),
            None => None,
            Some(namespace) if namespace.is_empty() => Some(format!("{ELIXIR}{name}")),
            Some(namespace) => {
                let namespace = namespace.strip_prefix(ELIXIR).unwrap_or(namespace);
                Some(format!("{ELIXIR}{namespace}.{name}"))
            }
        }
    }
}

/// A value as a term.
///
/// # Errors
/// For what Erlang does not have: infinite floats and NaN, atoms of more than 255 characters; and what the
/// value's own `Serialize` refuses. [`Error::path`] says where.
pub fn to_term<T: Serialize + ?Sized>(value: &T) -> Result<Term, Error> {
    Options::new().to_term(value)
}

/// A term as a value, which may borrow from it.
///
/// # Errors
/// If the term is not of the type's form: [`Error`] says where it differs, what was expected there and
/// what was found.
pub fn from_term<'de, T: Deserialize<'de>>(term: &'de Term) -> Result<T, Error> {
    const DEFAULT: &Options = &Options {
        none: Nothing::Nil,
        elixir: None,
    };
    DEFAULT.from_term(term)
}

/// A value in the external term format, with its leading version byte.
///
/// # Errors
/// See [`to_term`]; and if something in it is larger than the format can count.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    encode(&to_term(value)?).map_err(|error| Error::new(error.to_string()))
}

/// A value from the external term format, with its leading version byte, within the default
/// [`Limits`](super::Limits).
///
/// # Errors
/// See [`from_term`]; and if the bytes are no term.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let term = decode(&Bytes::copy_from_slice(bytes));
    from_term(&term.map_err(|error| Error::new(error.to_string()))?)
}

fn atom(name: &str) -> Result<Atom, Error> {
    Atom::try_from(name).map_err(|error| Error::new(format!("{error}: {name:.40}...")))
}

#[cfg(test)]
mod tests;
