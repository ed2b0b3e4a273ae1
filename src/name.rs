//! Node names: `name@host`, validated once, bytes ever after.
//!
//! Everything that the network says about a node is held as a [`NodeName`]; an Erlang atom is made
//! from it only at the last moment, in the BEAM, for a node that is to be connected to. So no
//! datagram, DNS answer or HTTP body can grow an atom table.
//!
//! The rules are those that OTP's `net_kernel` applies to its own name: letters, digits, `_` and
//! `-` before the `@`; printable characters without a further `@` after it. See
//! <https://www.erlang.org/doc/system/distributed.html#nodes>.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// The most characters an atom, and so a node name, can have.
pub const MAX_CHARS: usize = 255;

/// A valid node name, `name@host`, of at most 255 characters.
///
/// Cloning is cheap: clones share one allocation.
///
/// ```
/// use rendez::NodeName;
/// let node: NodeName = "shop@10.0.0.7".parse().unwrap();
/// assert_eq!((node.name(), node.host()), ("shop", "10.0.0.7"));
/// assert!("no host".parse::<NodeName>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName {
    full: Arc<str>,
    /// Where the `@` is, in bytes.
    at: u16,
}

impl NodeName {
    /// Puts a name and a host together.
    ///
    /// # Errors
    /// As for parsing the whole: see [`InvalidName`].
    pub fn new(name: &str, host: &str) -> Result<Self, InvalidName> {
        format!("{name}@{host}").parse()
    }

    /// Reads a name from the bytes that a datagram or a packet carried, which have to be UTF-8.
    ///
    /// # Errors
    /// [`InvalidName::NotUtf8`], or as for parsing: see [`InvalidName`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidName> {
        std::str::from_utf8(bytes)
            .map_err(|_| InvalidName::NotUtf8)?
            .parse()
    }

    /// The part before the `@`, under which EPMD knows the node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.full[..usize::from(self.at)]
    }

    /// The part after the `@`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.full[usize::from(self.at) + 1..]
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// Whether the host part has a dot or a colon, as the names of nodes started with `-name` have.
    ///
    /// Nodes with long and nodes with short names cannot connect to each other.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.host().contains(['.', ':'])
    }
}

impl FromStr for NodeName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        // The byte bound comes first, so that hostile input is not walked for its length.
        if text.len() > MAX_CHARS * 4 || text.chars().count() > MAX_CHARS {
            return Err(InvalidName::TooLong);
        }
        let (name, host) = text.split_once('@').ok_or(InvalidName::NoHost)?;
        if name.is_empty() {
            return Err(InvalidName::EmptyName);
        }
        if host.is_empty() {
            return Err(InvalidName::EmptyHost);
        }
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if let Some(bad) = name.chars().find(|&c| !in_name(c)) {
            return Err(InvalidName::CharacterInName(bad));
        }
        let in_host = |c: char| matches!(c, '!'..='~' | '\u{a1}'..='\u{ff}') && c != '@';
        if let Some(bad) = host.chars().find(|&c| !in_host(c)) {
            return Err(InvalidName::CharacterInHost(bad));
        }
        let at = u16::try_from(name.len()).map_err(|_| InvalidName::TooLong)?;
        Ok(Self {
            full: text.into(),
            at,
        })
    }
}

impl TryFrom<&str> for NodeName {
    type Error = InvalidName;

    fn try_from(text: &str) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl TryFrom<String> for NodeName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Infallible> for InvalidName {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Hash for NodeName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `str` does, so that a map of names can be asked with the text of a datagram.
        self.full.hash(state);
    }
}

impl Borrow<str> for NodeName {
    fn borrow(&self) -> &str {
        &self.full
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.full)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.full, f)
    }
}

/// Why a text is no node name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// There is no `@`.
    #[error("a node name has the form name@host; there is no `@`")]
    NoHost,
    /// Nothing stands before the `@`.
    #[error("a node name has the form name@host; nothing stands before the `@`")]
    EmptyName,
    /// Nothing stands after the `@`.
    #[error("a node name has the form name@host; nothing stands after the `@`")]
    EmptyHost,
    /// It is longer than an atom can be.
    #[error("a node name has at most {MAX_CHARS} characters")]
    TooLong,
    /// The bytes are not UTF-8.
    #[error("a node name is UTF-8 text")]
    NotUtf8,
    /// A character that `net_kernel` refuses before the `@`.
    #[error("{0:?} cannot stand before the `@` of a node name; letters, digits, `_` and `-` can")]
    CharacterInName(char),
    /// A character that `net_kernel` refuses after the `@`.
    #[error("{0:?} cannot stand after the `@` of a node name")]
    CharacterInHost(char),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_short_long_and_ipv6_names() {
        for (text, name, host, long) in [
            ("a@b", "a", "b", false),
            ("shop-1_x@10.0.0.7", "shop-1_x", "10.0.0.7", true),
            ("shop@fdaa::3", "shop", "fdaa::3", true),
            ("x@höst", "x", "höst", false),
        ] {
            let node: NodeName = text.parse().unwrap();
            assert_eq!(
                (node.name(), node.host(), node.is_long()),
                (name, host, long)
            );
            assert_eq!(node.to_string(), text);
        }
    }

    #[test]
    fn a_map_of_names_is_asked_with_text() {
        let names: std::collections::HashSet<NodeName> = ["a@b".parse().unwrap()].into();
        assert!(names.contains("a@b"));
        assert!(!names.contains("a@c"));
    }

    #[test]
    fn what_net_kernel_refuses_is_refused() {
        use InvalidName::*;
        for (text, why) in [
            ("", NoHost),
            ("abc", NoHost),
            ("@b", EmptyName),
            ("a@", EmptyHost),
            ("a.b@c", CharacterInName('.')),
            ("a b@c", CharacterInName(' ')),
            ("a@b@c", CharacterInHost('@')),
            ("a@b c", CharacterInHost(' ')),
            ("a@b\n", CharacterInHost('\n')),
            ("a@\u{4e16}", CharacterInHost('\u{4e16}')),
        ] {
            assert_eq!(text.parse::<NodeName>(), Err(why), "{text:?}");
        }
        assert_eq!(NodeName::from_bytes(b"a@\xff"), Err(NotUtf8));
    }

    #[test]
    fn at_most_255_characters_whatever_their_bytes() {
        let longest = format!("a@{}", "ö".repeat(253));
        assert!(longest.parse::<NodeName>().is_ok());
        assert_eq!(
            format!("{longest}x").parse::<NodeName>(),
            Err(InvalidName::TooLong)
        );
    }
}
