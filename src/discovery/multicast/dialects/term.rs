//! The little of the external term format that announcements carry: an atom, alone or under the key
//! `node` in a map of one.
//!
//! <https://www.erlang.org/doc/apps/erts/erl_ext_dist>. This is not a decoder of terms: it knows these two
//! shapes and refuses everything else, so nothing nests, nothing is allocated, and no declared length is
//! believed that the datagram does not have. Atoms are read in all four forms that releases of OTP wrote.

use crate::name::{InvalidName, NodeName};

const VERSION: u8 = 131;
const MAP: u8 = 116;
/// Latin-1, two bytes of length: what OTP wrote up to 25.
const ATOM: u8 = 100;
/// Latin-1, one byte of length.
const SMALL_ATOM: u8 = 115;
/// UTF-8, two bytes of length.
const ATOM_UTF8: u8 = 118;
/// UTF-8, one byte of length: what OTP writes from 26 on.
const SMALL_ATOM_UTF8: u8 = 119;

/// The text of an atom, in the bytes of the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtomText<'a> {
    bytes: &'a [u8],
    is_latin1: bool,
}

impl AtomText<'_> {
    /// Reads the atom as a node's name.
    ///
    /// # Errors
    /// [`InvalidName`]: it is the name of no node.
    pub fn to_name(self) -> Result<NodeName, InvalidName> {
        if self.is_latin1 && !self.bytes.is_ascii() {
            latin1(self.bytes).parse()
        } else {
            NodeName::from_bytes(self.bytes)
        }
    }
}

/// Bytes of Latin-1 as text. The length of a datagram bounds them.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Reads a term that is an atom and nothing else.
#[must_use]
pub fn atom(term: &[u8]) -> Option<AtomText<'_>> {
    whole(take_atom(term.strip_prefix(&[VERSION])?)?)
}

/// Reads a term that is a map of the atom `node` to an atom and nothing else; answers the latter.
#[must_use]
pub fn node_of_map(term: &[u8]) -> Option<AtomText<'_>> {
    let pair = term.strip_prefix(&[VERSION, MAP, 0, 0, 0, 1])?;
    let (key, value) = take_atom(pair)?;
    // The key reads the same in Latin-1 and UTF-8.
    if key.bytes != b"node" {
        return None;
    }
    whole(take_atom(value)?)
}

/// An atom after which nothing comes.
fn whole<'a>((atom, rest): (AtomText<'a>, &'a [u8])) -> Option<AtomText<'a>> {
    rest.is_empty().then_some(atom)
}

fn take_atom(bytes: &[u8]) -> Option<(AtomText<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (length, rest) = match tag {
        ATOM | ATOM_UTF8 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u16::from_be_bytes(*length).into(), rest)
        }
        SMALL_ATOM | SMALL_ATOM_UTF8 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        _ => return None,
    };
    let (bytes, rest) = rest.split_at_checked(length)?;
    let is_latin1 = matches!(tag, ATOM | SMALL_ATOM);
    Some((AtomText { bytes, is_latin1 }, rest))
}

/// Appends `node`'s name as a term.
pub fn write_atom_term(out: &mut Vec<u8>, node: &NodeName) {
    out.push(VERSION);
    write_atom(out, node.as_str());
}

/// Appends a map of `node` to the node's name as a term.
pub fn write_map_term(out: &mut Vec<u8>, node: &NodeName) {
    out.extend_from_slice(&[VERSION, MAP, 0, 0, 0, 1]);
    write_atom(out, "node");
    write_atom(out, node.as_str());
}

/// In UTF-8, which every release since R16 reads.
fn write_atom(out: &mut Vec<u8>, text: &str) {
    if let Ok(length) = u8::try_from(text.len()) {
        out.extend_from_slice(&[SMALL_ATOM_UTF8, length]);
    } else {
        // An atom has at most 255 characters, 1,020 bytes.
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        out.push(ATOM_UTF8);
        out.extend_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

/// `text` as `term_to_binary/1` writes an atom: in Latin-1 where that has all its characters, up to OTP 25.
#[must_use]
pub fn old_atom_term(text: &str) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = text
        .chars()
        .map(u8::try_from)
        .collect::<Result<_, _>>()
        .ok()?;
    let mut term = vec![VERSION, ATOM];
    term.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
    term.extend_from_slice(&bytes);
    Some(term)
}

/// `text` as `term_to_binary/1` writes an atom from OTP 26 on.
#[must_use]
pub fn new_atom_term(text: &str) -> Vec<u8> {
    let mut term = vec![VERSION];
    write_atom(&mut term, text);
    term
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(key: &[u8], value: &[u8]) -> Vec<u8> {
        [&[VERSION, MAP, 0, 0, 0, 1], key, value].concat()
    }

    #[test]
    fn an_atom_in_each_of_the_four_forms() {
        for bytes in [
            &b"\x64\x00\x03a@b"[..],
            b"\x73\x03a@b",
            b"\x76\x00\x03a@b",
            b"\x77\x03a@b",
        ] {
            let alone = [&[VERSION], bytes].concat();
            assert_eq!(
                atom(&alone).unwrap().to_name().unwrap().as_str(),
                "a@b",
                "{bytes:?}"
            );
            for key in [&b"\x64\x00\x04node"[..], b"\x77\x04node"] {
                let map = map(key, bytes);
                assert_eq!(
                    node_of_map(&map).unwrap().to_name().unwrap().as_str(),
                    "a@b"
                );
            }
        }
        let latin1 = atom(b"\x83\x73\x03a@\xf6").unwrap();
        assert_eq!(latin1.to_name().unwrap().as_str(), "a@\u{f6}");
        assert!(
            atom(b"\x83\x77\x03a@\xf6").unwrap().to_name().is_err(),
            "no UTF-8"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let key = b"\x77\x04node";
        let value = b"\x77\x03a@b";
        let two = [&[VERSION, MAP, 0, 0, 0, 2][..], key, value, key, value].concat();
        for (what, term) in [
            ("nothing", vec![]),
            ("another key", map(b"\x77\x04name", value)),
            ("a binary as the key", map(b"\x6d\0\0\0\x04node", value)),
            ("a binary as the value", map(key, b"\x6d\0\0\0\x03a@b")),
            ("two pairs", two),
            (
                "a count that is not there",
                [&[VERSION, MAP, 255, 255, 255, 255][..], key, value].concat(),
            ),
            ("a length that is not there", map(key, b"\x76\xff\xffa@b")),
            ("more after it", [&map(key, value)[..], b"x"].concat()),
            ("a compressed term", b"\x83\x50\0\0\0\x05x".to_vec()),
            ("an atom alone", [&[VERSION][..], value].concat()),
            (
                "another version",
                [&[130][..], &map(key, value)[1..]].concat(),
            ),
        ] {
            assert_eq!(node_of_map(&term), None, "{what}");
        }
        assert_eq!(atom(&map(key, value)), None, "a map");
        assert_eq!(atom(b"\x83\x77\x03a@bx"), None, "more after it");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for name in ["a@b".to_owned(), format!("a@{}", "\u{f6}".repeat(253))] {
            let node: NodeName = name.parse().unwrap();
            let (mut alone, mut map) = (Vec::new(), Vec::new());
            write_atom_term(&mut alone, &node);
            write_map_term(&mut map, &node);
            assert_eq!(atom(&alone).unwrap().to_name().unwrap(), node);
            assert_eq!(node_of_map(&map).unwrap().to_name().unwrap(), node);
        }
    }
}
