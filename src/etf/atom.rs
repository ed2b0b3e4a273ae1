//! Atoms: short names, cheap to clone, and never entered into any table.

use std::fmt;

use smol_str::SmolStr;

/// The most characters that an atom can have.
pub const MAX_CHARS: usize = 255;

/// An atom: at most 255 characters of UTF-8.
///
/// Up to 23 bytes are held in place; a longer one is shared between its clones. There is no atom
/// table, so a hostile peer cannot fill one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Atom(SmolStr);

impl Atom {
    /// An atom from a text that is known when the program is written.
    ///
    /// # Panics
    /// If it has more than 255 characters; use [`Atom::try_from`] for a text from outside.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        // No character has more than 4 bytes, but the count itself is not const: bytes bound it from above.
        assert!(
            name.len() <= MAX_CHARS,
            "an atom has at most 255 characters"
        );
        Self(SmolStr::new_static(name))
    }

    /// Its characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From at most 255 bytes, which are at most 255 characters.
    #[inline]
    pub(crate) fn of_few(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    /// From the Latin-1 bytes of `ATOM_EXT`, at most 255 of them.
    pub(crate) fn from_latin1(bytes: &[u8]) -> Self {
        if let (true, Ok(text)) = (bytes.is_ascii(), std::str::from_utf8(bytes)) {
            return Self(text.into());
        }
        Self(bytes.iter().copied().map(char::from).collect())
    }
}

/// A text that is too long for an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an atom has at most {MAX_CHARS} characters")]
pub struct AtomTooLong;

impl TryFrom<&str> for Atom {
    type Error = AtomTooLong;

    fn try_from(text: &str) -> Result<Self, AtomTooLong> {
        // Most atoms are short: then the count of bytes settles it.
        if text.len() > MAX_CHARS && text.chars().count() > MAX_CHARS {
            return Err(AtomTooLong);
        }
        Ok(Self(text.into()))
    }
}

impl PartialEq<str> for Atom {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&str> for Atom {
    fn eq(&self, other: &&str) -> bool {
        self.0 == **other
    }
}

impl fmt::Debug for Atom {
    /// As Erlang writes it: `ok`, `'Elixir.Enum'`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
