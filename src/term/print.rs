//! A term as text.

use std::cmp::Ordering;
use std::fmt::{self, Display, Write as _};

use eetf::{Atom, InternalFun, Map, Pid, Port, Reference, Term};
use num_bigint::BigInt;

use super::atom;
use super::float::float_text;

/// Shows a term as Erlang would: see [`Shown`].
#[must_use]
pub fn show(term: &Term) -> Shown<'_> {
    Shown { term, home: None }
}

/// A term to be shown.
///
/// Text is shown as text: a list of printable Latin-1 characters, a binary of printable UTF-8 or Latin-1. Maps
/// are in the order of their keys: numbers, then atoms, then the rest. Pids, ports, references and closures
/// have no syntax of their own in Erlang; they are shown, but [`parse`](super::parse) does not read them.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    term: &'a Term,
    home: Option<&'a str>,
}

impl<'a> Shown<'a> {
    /// Shows pids, ports and references of that node as the node itself would, `<0.9.0>`, so that they can be
    /// pasted into its shell. Those of other nodes carry their node's name: `<shop@10.0.0.7.9.0>`.
    #[must_use]
    pub fn at(self, node: &'a str) -> Self {
        Self {
            home: Some(node),
            ..self
        }
    }

    fn of(self, term: &'a Term) -> Self {
        Self { term, ..self }
    }

    /// The first number of a pid, port or reference, which says whose it is.
    fn owner(self, node: &'a Atom) -> Owner<'a> {
        Owner((self.home != Some(&node.name)).then_some(&node.name))
    }

    fn items(self, f: &mut fmt::Formatter<'_>, items: &'a [Term]) -> fmt::Result {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            self.of(item).fmt(f)?;
        }
        Ok(())
    }

    fn list(self, f: &mut fmt::Formatter<'_>, items: &'a [Term]) -> fmt::Result {
        let text: Option<String> = items.iter().map(character).collect();
        match text {
            Some(text) if !items.is_empty() => atom::write_quoted(f, text.chars(), '"'),
            _ => {
                f.write_char('[')?;
                self.items(f, items)?;
                f.write_char(']')
            }
        }
    }

    fn map(self, f: &mut fmt::Formatter<'_>, map: &'a Map) -> fmt::Result {
        let mut entries: Vec<_> = map
            .map
            .iter()
            .map(|(key, value)| (Key::of(key, self), value))
            .collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        f.write_str("#{")?;
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            write!(f, "{} => {}", key.text, self.of(value))?;
        }
        f.write_char('}')
    }
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let me = *self;
        match self.term {
            Term::Atom(name) => write_atom(f, name),
            Term::FixInteger(number) => write!(f, "{}", number.value),
            Term::BigInteger(number) => write!(f, "{}", number.value),
            Term::Float(number) => f.write_str(&float_text(number.value)),
            Term::Pid(Pid {
                node, id, serial, ..
            }) => write!(f, "<{}.{id}.{serial}>", me.owner(node)),
            Term::Port(Port { node, id, .. }) => write!(f, "#Port<{}.{id}>", me.owner(node)),
            Term::Reference(reference) => {
                let Reference { node, id, .. } = &**reference;
                write!(f, "#Ref<{}", me.owner(node))?;
                // The wire has the least significant number first.
                for number in id.iter().rev() {
                    write!(f, ".{number}")?;
                }
                f.write_char('>')
            }
            Term::ExternalFun(fun) => {
                f.write_str("fun ")?;
                write_atom(f, &fun.module)?;
                f.write_char(':')?;
                write_atom(f, &fun.function)?;
                write!(f, "/{}", fun.arity)
            }
            Term::InternalFun(fun) => {
                let (module, index, uniq) = match &**fun {
                    InternalFun::Old {
                        module,
                        index,
                        uniq,
                        ..
                    } => (module, index, uniq),
                    InternalFun::New {
                        module,
                        old_index,
                        old_uniq,
                        ..
                    } => (module, old_index, old_uniq),
                };
                write!(f, "#Fun<{}.{index}.{uniq}>", module.name)
            }
            Term::Binary(binary) => write_binary(f, &binary.bytes),
            Term::BitBinary(bits) => write_bits(f, &bits.bytes, bits.tail_bits_size),
            Term::ByteList(list) => write_byte_list(f, &list.bytes),
            Term::List(list) => me.list(f, &list.elements),
            Term::ImproperList(list) => {
                f.write_char('[')?;
                me.items(f, &list.elements)?;
                write!(f, "|{}]", me.of(&list.last))
            }
            Term::Tuple(tuple) => {
                f.write_char('{')?;
                me.items(f, &tuple.elements)?;
                f.write_char('}')
            }
            Term::Map(map) => me.map(f, map),
        }
    }
}

/// Whose a pid is, as its first number: 0 is the node that shows it.
struct Owner<'a>(Option<&'a str>);

impl Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.unwrap_or("0"))
    }
}

/// A key of a map, in an order close to Erlang's: numbers, atoms, then everything else by its text.
struct Key {
    number: Option<BigInt>,
    fraction: f64,
    is_atom: bool,
    text: String,
}

impl Key {
    fn of(term: &Term, shown: Shown<'_>) -> Self {
        let (number, fraction) = match term {
            Term::FixInteger(number) => (Some(number.value.into()), 0.0),
            Term::BigInteger(number) => (Some(number.value.clone()), 0.0),
            Term::Float(number) => {
                let whole = number.value.floor();
                (whole_number(whole), number.value - whole)
            }
            _ => (None, 0.0),
        };
        Self {
            number,
            fraction,
            is_atom: matches!(term, Term::Atom(_)),
            text: Shown { term, ..shown }.to_string(),
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |key: &Self| match (&key.number, key.is_atom) {
            (Some(_), _) => 0,
            (None, true) => 1,
            (None, false) => 2,
        };
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.number.cmp(&other.number))
            .then_with(|| self.fraction.total_cmp(&other.fraction))
            .then_with(|| self.text.cmp(&other.text))
    }
}

/// A float without a fraction as an integer.
fn whole_number(whole: f64) -> Option<BigInt> {
    // Display writes every digit of a float that has no fraction.
    format!("{whole:.0}").parse().ok()
}

/// The printable character that an element of a list is.
fn character(term: &Term) -> Option<char> {
    match term {
        Term::FixInteger(number) => u8::try_from(number.value)
            .ok()
            .map(char::from)
            .filter(|&c| atom::is_printable_latin1(c)),
        _ => None,
    }
}

fn write_atom(f: &mut fmt::Formatter<'_>, atom: &Atom) -> fmt::Result {
    if atom::is_plain(&atom.name) {
        f.write_str(&atom.name)
    } else {
        atom::write_quoted(f, atom.name.chars(), '\'')
    }
}

fn write_byte_list(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let text = || bytes.iter().copied().map(char::from);
    if !bytes.is_empty() && text().all(atom::is_printable_latin1) {
        return atom::write_quoted(f, text(), '"');
    }
    f.write_char('[')?;
    write_numbers(f, bytes)?;
    f.write_char(']')
}

fn write_binary(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("<<")?;
    if !bytes.is_empty() {
        let latin1 = || bytes.iter().copied().map(char::from);
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(atom::is_printable) => {
                atom::write_quoted(f, text.chars(), '"')?;
                if !text.is_ascii() {
                    f.write_str("/utf8")?;
                }
            }
            Err(_) if latin1().all(atom::is_printable_latin1) => {
                atom::write_quoted(f, latin1(), '"')?
            }
            _ => write_numbers(f, bytes)?,
        }
    }
    f.write_str(">>")
}

/// Writes a bit string. eetf keeps the bits of its last byte at the lower end, as a number.
fn write_bits(f: &mut fmt::Formatter<'_>, bytes: &[u8], bits: u8) -> fmt::Result {
    if bits == 0 || bits >= 8 {
        return write_binary(f, bytes);
    }
    f.write_str("<<")?;
    if let Some((last, whole)) = bytes.split_last() {
        write_numbers(f, whole)?;
        if !whole.is_empty() {
            f.write_char(',')?;
        }
        write!(f, "{last}:{bits}")?;
    }
    f.write_str(">>")
}

fn write_numbers(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            f.write_char(',')?;
        }
        write!(f, "{byte}")?;
    }
    Ok(())
}
