//! A term as text.

use std::cmp::Ordering;
use std::fmt::{self, Display, Write as _};

use num_bigint::BigInt;

use super::float::float_text;
use super::quoting;
use crate::etf::{Atom, BitString, Export, Fun, Map, Pid, Port, Reference, Term};

/// A term to be shown as the node would that [`Term::shown_at`] names.
///
/// Text is shown as text: a list of printable Latin-1 characters, a binary of printable UTF-8 or Latin-1. Maps
/// are in the order of their keys: numbers, then atoms, then the rest. Pids, ports, references and closures
/// have no syntax of their own in Erlang; they are shown, but not read back.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    term: &'a Term,
    home: Option<&'a str>,
}

impl Term {
    /// Shows pids, ports and references of that node as the node itself would, `<0.9.0>`, so that they can be
    /// pasted into its shell. Those of other nodes carry their node's name, as all do without this:
    /// `<shop@10.0.0.7.9.0>`.
    #[must_use]
    pub fn shown_at<'a>(&'a self, node: &'a str) -> Shown<'a> {
        Shown {
            term: self,
            home: Some(node),
        }
    }
}

impl Display for Term {
    /// As Erlang writes it: see [`Shown`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = None;
        Shown { term: self, home }.fmt(f)
    }
}

impl<'a> Shown<'a> {
    fn of(self, term: &'a Term) -> Self {
        Self { term, ..self }
    }

    /// The first number of a pid, port or reference, which says whose it is.
    fn owner(self, node: &'a Atom) -> Owner<'a> {
        Owner((self.home != Some(node.as_str())).then_some(node.as_str()))
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
            Some(text) if !items.is_empty() => quoting::write_quoted(f, text.chars(), '"'),
            _ => {
                f.write_char('[')?;
                self.items(f, items)?;
                f.write_char(']')
            }
        }
    }

    fn map(self, f: &mut fmt::Formatter<'_>, map: &'a Map) -> fmt::Result {
        let mut entries: Vec<_> = map
            .0
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
            Term::Atom(name) => name.fmt(f),
            Term::Int(number) => number.fmt(f),
            Term::BigInt(number) => number.fmt(f),
            Term::Float(number) => f.write_str(&float_text(*number)),
            Term::Pid(pid) => write_pid(f, pid, me.owner(&pid.node)),
            Term::Port(port) => write_port(f, port, me.owner(&port.node)),
            Term::Reference(reference) => write_reference(f, reference, me.owner(&reference.node)),
            Term::Export(export) => export.fmt(f),
            Term::Fun(fun) => fun.fmt(f),
            Term::Binary(bytes) => write_binary(f, bytes),
            Term::BitString(bits) => write_bits(f, bits),
            Term::List(elements) => me.list(f, elements),
            Term::ImproperList(list) => {
                f.write_char('[')?;
                me.items(f, &list.elements)?;
                write!(f, "|{}]", me.of(&list.tail))
            }
            Term::Tuple(elements) => {
                f.write_char('{')?;
                me.items(f, elements)?;
                f.write_char('}')
            }
            Term::Map(map) => me.map(f, map),
        }
    }
}

impl Display for Atom {
    /// As Erlang writes it, between quotes where it needs them: `ok`, `'Elixir.Enum'`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if quoting::is_plain(self.as_str()) {
            f.write_str(self.as_str())
        } else {
            quoting::write_quoted(f, self.as_str().chars(), '\'')
        }
    }
}

impl Display for Pid {
    /// `<shop@10.0.0.7.9.0>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_pid(f, self, Owner(Some(self.node.as_str())))
    }
}

impl Display for Port {
    /// `#Port<shop@10.0.0.7.9>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_port(f, self, Owner(Some(self.node.as_str())))
    }
}

impl Display for Reference {
    /// `#Ref<shop@10.0.0.7.3.2.1>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reference(f, self, Owner(Some(self.node.as_str())))
    }
}

impl Display for Export {
    /// `fun lists:map/2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fun {}:{}/{}", self.module, self.function, self.arity)
    }
}

impl Display for Fun {
    /// `#Fun<shop.3.1234>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.module.as_str();
        write!(f, "#Fun<{module}.{}.{}>", self.old_index, self.old_uniq)
    }
}

fn write_pid(f: &mut fmt::Formatter<'_>, pid: &Pid, owner: Owner<'_>) -> fmt::Result {
    write!(f, "<{owner}.{}.{}>", pid.id, pid.serial)
}

fn write_port(f: &mut fmt::Formatter<'_>, port: &Port, owner: Owner<'_>) -> fmt::Result {
    write!(f, "#Port<{owner}.{}>", port.id)
}

fn write_reference(
    f: &mut fmt::Formatter<'_>,
    reference: &Reference,
    owner: Owner<'_>,
) -> fmt::Result {
    write!(f, "#Ref<{owner}")?;
    // The wire has the least significant number first.
    for number in reference.id.iter().rev() {
        write!(f, ".{number}")?;
    }
    f.write_char('>')
}

/// Whose a pid is, as its first number: 0 is the node that shows it.
struct Owner<'a>(Option<&'a str>);

impl Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c| quoting::continues_atom(c) || matches!(c, '.' | '-');
        match self.0 {
            None => f.write_str("0"),
            Some(node) if node.chars().all(plain) => f.write_str(node),
            // A peer can have any name: none may look like something else, or break a line of a log.
            Some(node) => quoting::write_quoted(f, node.chars(), '\''),
        }
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
            Term::Int(number) => (Some(BigInt::from(*number)), 0.0),
            Term::BigInt(number) => (Some(BigInt::clone(number)), 0.0),
            Term::Float(number) => {
                let whole = number.floor();
                (whole_number(whole), number - whole)
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
    let byte = u8::try_from(term.as_int()?).ok()?;
    Some(char::from(byte)).filter(|&c| quoting::is_printable_latin1(c))
}

fn write_binary(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("<<")?;
    if !bytes.is_empty() {
        let latin1 = || bytes.iter().copied().map(char::from);
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(quoting::is_printable) => {
                quoting::write_quoted(f, text.chars(), '"')?;
                if !text.is_ascii() {
                    f.write_str("/utf8")?;
                }
            }
            Err(_) if latin1().all(quoting::is_printable_latin1) => {
                quoting::write_quoted(f, latin1(), '"')?
            }
            _ => write_numbers(f, bytes)?,
        }
    }
    f.write_str(">>")
}

fn write_bits(f: &mut fmt::Formatter<'_>, bits: &BitString) -> fmt::Result {
    f.write_str("<<")?;
    if let Some((last, whole)) = bits.bytes.split_last() {
        write_numbers(f, whole)?;
        if !whole.is_empty() {
            f.write_char(',')?;
        }
        let unused = 8_u8.saturating_sub(bits.last_bits).min(7);
        write!(f, "{}:{}", last >> unused, bits.last_bits)?;
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
