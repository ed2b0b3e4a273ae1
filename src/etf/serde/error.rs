//! What is wrong with a value or a term, and where in it.

use std::fmt::{self, Display, Write as _};

use serde::{de, ser};

use crate::etf::{Atom, Term};

/// Why a value is no term, or a term no value of the type that was asked for.
///
/// Its text begins with the place: `user.addresses[2].zip: expected an integer, got the atom foo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    /// The steps from the outermost value to the place, the last one first.
    steps: Vec<Step>,
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    Key(String),
}

impl Error {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            steps: Vec::new(),
            message: message.into(),
        }))
    }

    pub(super) fn expected(what: &str, got: &Term) -> Self {
        Self::new(format!("expected {what}, got {}", Described(got)))
    }

    /// The same, found in this field.
    pub(super) fn in_field(self, name: impl Into<String>) -> Self {
        self.step(Step::Field(name.into()))
    }

    /// The same, found in this element, counted from 0.
    pub(super) fn in_element(self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The same, found under this key of a map.
    pub(super) fn under(self, key: &Term) -> Self {
        match key {
            Term::Atom(atom) => self.in_field(atom.to_string()),
            key => self.step(Step::Key(short(key))),
        }
    }

    fn step(mut self, step: Step) -> Self {
        self.0.steps.push(step);
        self
    }

    /// Where: `user.addresses[2].zip`, with elements counted from 0 and keys that are no atoms as in
    /// `counts[<<"a">>]`. Empty if the value as a whole is meant.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.0.steps.iter().rev() {
            // Writing to a string does not fail.
            let _ = match step {
                Step::Field(name) if path.is_empty() => write!(path, "{name}"),
                Step::Field(name) => write!(path, ".{name}"),
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Key(key) => write!(path, "[{key}]"),
            };
        }
        path
    }

    /// What is wrong there.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.steps.is_empty() {
            write!(f, "{}: ", self.path())?;
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}, got {unexpected}"))
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}, got {unexpected}"))
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}, got {length} elements"))
    }
}

/// The most characters of a term that an error shows.
const SHOWN: usize = 60;

fn short(term: &Term) -> String {
    let mut text = term.to_string();
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// A term as the end of "got ...".
struct Described<'a>(&'a Term);

impl Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0 {
            Term::Atom(_) => "the atom",
            Term::Int(_) | Term::BigInt(_) => "the integer",
            Term::Float(_) => "the float",
            Term::Binary(_) => "the binary",
            Term::BitString(_) => "the bit string",
            Term::List(_) | Term::ImproperList(_) => "the list",
            Term::Tuple(_) => "the tuple",
            Term::Map(_) => "the map",
            Term::Pid(_) => "the pid",
            Term::Port(_) => "the port",
            Term::Reference(_) => "the reference",
            Term::Export(_) | Term::Fun(_) => "the fun",
        };
        write!(f, "{what} {}", short(self.0))
    }
}

/// The name of an Elixir module as Elixir writes it: `My.User` for `'Elixir.My.User'`.
pub(super) fn elixir_name(module: &Atom) -> &str {
    let name = module.as_str();
    name.strip_prefix(super::ELIXIR).unwrap_or(name)
}
