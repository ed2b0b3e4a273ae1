//! A term as text.

use std::fmt::{self, Display, Write};
use std::slice;

use num_bigint::{BigInt, Sign};

use super::float::float_text;
use super::quoting;
use crate::etf::{Atom, BitString, Export, Fun, ImproperList, Map, Pid, Port, Reference, Term};

/// A term to be shown as the node would that [`Term::shown_at`] names, or within the bounds of
/// [`Term::shown_in`].
///
/// Text is shown as text: a list of printable Latin-1 characters, a binary of printable UTF-8 or Latin-1. Integers
/// of more than 16,384 bits are hexadecimal, `16#...`. Pids, ports, references and closures have no syntax of their
/// own in Erlang; they are shown, but not read back.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    term: &'a Term,
    home: Option<&'a str>,
    most: Option<usize>,
}

/// How many bytes of a term `Debug` shows.
const DEBUG: usize = 4096;
/// Integers of more bits are shown in hexadecimal: how long the decimal form takes grows with the square of the size.
const MOST_DECIMAL_BITS: u64 = 16_384;
/// Larger ones are cut where a text is bounded.
const MOST_BOUNDED_BITS: u64 = 1024;

impl Term {
    /// Shows pids, ports and references of that node as the node itself would, `<0.9.0>`, so that they can be
    /// pasted into its shell. Those of other nodes carry their node's name, as all do without this:
    /// `<shop@10.0.0.7.9.0>`.
    #[must_use]
    pub fn shown_at<'a>(&'a self, node: &'a str) -> Shown<'a> {
        Shown {
            term: self,
            home: Some(node),
            most: None,
        }
    }

    /// Shows at most so many bytes of the term's text, and three dots where there is more. However large the term
    /// is, no more is done than these bytes take.
    ///
    /// ```
    /// # use rendez::etf::Term;
    /// let term: Term = "{ok,[1,2,3]}".parse().unwrap();
    /// assert_eq!(term.shown_in(8).to_string(), "{ok,[1,2...");
    /// assert_eq!(term.shown_in(100).to_string(), "{ok,[1,2,3]}");
    /// ```
    #[must_use]
    pub fn shown_in(&self, bytes: usize) -> Shown<'_> {
        Shown {
            term: self,
            home: None,
            most: Some(bytes),
        }
    }
}

impl Display for Term {
    /// As Erlang writes it: see [`Shown`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer::new(f, None).term(self)
    }
}

impl fmt::Debug for Term {
    /// As Erlang writes it, at most 4,096 bytes: see [`Shown`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.shown_in(DEBUG), f)
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bounded(f, DEBUG, |out| {
            let mut printer = Printer::new(out, Some(DEBUG));
            printer.open_map(self)?;
            printer.parts()
        })
    }
}

impl fmt::Debug for ImproperList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bounded(f, DEBUG, |out| {
            let mut printer = Printer::new(out, Some(DEBUG));
            printer.open('[', &self.elements, Some(&self.tail), ']')?;
            printer.parts()
        })
    }
}

macro_rules! debug_is_display {
    ($($type:ty)*) => {$(
        impl fmt::Debug for $type {
            /// As Erlang writes it.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Display::fmt(self, f)
            }
        }
    )*};
}

debug_is_display! { Pid Port Reference Export Fun }

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(most) = self.most else {
            let mut printer = Printer::new(f, None);
            printer.home = self.home;
            return printer.term(self.term);
        };
        bounded(f, most, |out| {
            let mut printer = Printer::new(out, Some(most));
            printer.home = self.home;
            printer.term(self.term)
        })
    }
}

/// Has a text written, of which at most so many bytes come to the formatter, and then three dots.
fn bounded(
    f: &mut fmt::Formatter<'_>,
    most: usize,
    write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result,
) -> fmt::Result {
    let mut bounded = Bounded {
        to: f,
        left: most,
        is_cut: false,
    };
    let written = write(&mut bounded);
    if bounded.is_cut {
        f.write_str("...")
    } else {
        written
    }
}

/// Passes on so many bytes, and then fails.
struct Bounded<'a, 'f> {
    to: &'a mut fmt::Formatter<'f>,
    left: usize,
    is_cut: bool,
}

impl fmt::Write for Bounded<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left {
            self.left -= text.len();
            return self.to.write_str(text);
        }
        let end = text.floor_char_boundary(self.left);
        self.is_cut = true;
        self.to.write_str(text.get(..end).unwrap_or_default())?;
        Err(fmt::Error)
    }
}

/// What is still to be written of a term that has begun.
enum Open<'a> {
    Items {
        rest: slice::Iter<'a, Term>,
        tail: Option<&'a Term>,
        is_first: bool,
        close: char,
    },
    Pairs {
        rest: slice::Iter<'a, (Term, Term)>,
        value: Option<&'a Term>,
        is_first: bool,
    },
}

/// What stands before an item.
fn comma(is_first: &mut bool) -> &'static str {
    if std::mem::take(is_first) { "" } else { "," }
}

/// Writes terms with a stack of its own: a term may nest deeper than a thread has stack.
struct Printer<'a, 'w> {
    out: &'w mut dyn fmt::Write,
    home: Option<&'a str>,
    /// How many bytes will be written at the most, so that no more of a term need be looked at.
    most: Option<usize>,
    open: Vec<Open<'a>>,
}

impl<'a, 'w> Printer<'a, 'w> {
    fn new(out: &'w mut dyn fmt::Write, most: Option<usize>) -> Self {
        Self {
            out,
            home: None,
            most,
            open: Vec::new(),
        }
    }

    /// As much of a slice as can be written, each element of which takes a byte or more.
    fn visible<'s, T>(&self, all: &'s [T]) -> &'s [T] {
        let most = self.most.unwrap_or(usize::MAX);
        // One more, so that it shows that there is more.
        all.get(..most.saturating_add(1)).unwrap_or(all)
    }

    /// The first number of a pid, port or reference, which says whose it is.
    fn owner<'n>(&self, node: &'n Atom) -> Owner<'n> {
        Owner((self.home != Some(node.as_str())).then_some(node.as_str()))
    }

    fn term(&mut self, term: &'a Term) -> fmt::Result {
        self.begin(term)?;
        self.parts()
    }

    fn open(
        &mut self,
        bracket: char,
        items: &'a [Term],
        tail: Option<&'a Term>,
        close: char,
    ) -> fmt::Result {
        self.out.write_char(bracket)?;
        self.open.push(Open::Items {
            rest: items.iter(),
            tail,
            is_first: true,
            close,
        });
        Ok(())
    }

    fn open_map(&mut self, map: &'a Map) -> fmt::Result {
        self.open.push(Open::Pairs {
            rest: map.iter(),
            value: None,
            is_first: true,
        });
        self.out.write_str("#{")
    }

    /// Writes a term, or how it begins if it holds others.
    fn begin(&mut self, term: &'a Term) -> fmt::Result {
        match term {
            Term::Atom(name) => write!(self.out, "{name}"),
            Term::Int(number) => write!(self.out, "{number}"),
            Term::BigInt(number) => self.big(number),
            Term::Float(number) => self.out.write_str(&float_text(*number)),
            Term::Pid(pid) => {
                let owner = self.owner(&pid.node);
                write_pid(self.out, pid, &owner)
            }
            Term::Port(port) => {
                let owner = self.owner(&port.node);
                write_port(self.out, port, &owner)
            }
            Term::Reference(reference) => {
                let owner = self.owner(&reference.node);
                write_reference(self.out, reference, &owner)
            }
            Term::Export(export) => write!(self.out, "{export}"),
            Term::Fun(fun) => write!(self.out, "{fun}"),
            Term::Binary(bytes) => {
                let visible = self.visible(bytes);
                let is_cut = visible.len() < bytes.len();
                write_binary(
                    self.out,
                    if is_cut {
                        whole_characters(visible)
                    } else {
                        visible
                    },
                )
            }
            Term::BitString(bits) => self.bits(bits),
            Term::List(elements) => self.list(elements),
            Term::ImproperList(list) => self.open('[', &list.elements, Some(&list.tail), ']'),
            Term::Tuple(elements) => self.open('{', elements, None, '}'),
            Term::Map(map) => self.open_map(map),
        }
    }

    /// Writes what is left of all terms that have begun.
    fn parts(&mut self) -> fmt::Result {
        while let Some(open) = self.open.last_mut() {
            let (before, next) = match open {
                Open::Items {
                    rest,
                    tail,
                    is_first,
                    close,
                } => match (rest.next(), &mut *tail) {
                    (Some(item), _) => (comma(is_first), item),
                    (None, tail @ Some(_)) => match tail.take() {
                        Some(tail) => ("|", tail),
                        None => continue,
                    },
                    (None, None) => {
                        let close = *close;
                        self.open.pop();
                        self.out.write_char(close)?;
                        continue;
                    }
                },
                Open::Pairs {
                    rest,
                    value,
                    is_first,
                } => match value.take() {
                    Some(value) => (" => ", value),
                    None => match rest.next() {
                        Some((key, after)) => {
                            *value = Some(after);
                            (comma(is_first), key)
                        }
                        None => {
                            self.open.pop();
                            self.out.write_char('}')?;
                            continue;
                        }
                    },
                },
            };
            self.out.write_str(before)?;
            self.begin(next)?;
        }
        Ok(())
    }

    fn list(&mut self, items: &'a [Term]) -> fmt::Result {
        let text: Option<String> = self.visible(items).iter().map(character).collect();
        match text {
            Some(text) if !items.is_empty() => quoting::write_quoted(self.out, text.chars(), '"'),
            _ => self.open('[', items, None, ']'),
        }
    }

    fn big(&mut self, number: &BigInt) -> fmt::Result {
        let bits = number.bits();
        if self.most.is_some() && bits > MOST_BOUNDED_BITS {
            let first = number.magnitude() >> (bits - 64);
            let sign = if number.sign() == Sign::Minus {
                "-"
            } else {
                ""
            };
            return write!(self.out, "{sign}16#{first:X}...({bits} bits)");
        }
        if bits <= MOST_DECIMAL_BITS {
            return write!(self.out, "{number}");
        }
        let sign = if number.sign() == Sign::Minus {
            "-"
        } else {
            ""
        };
        write!(self.out, "{sign}16#{:X}", number.magnitude())
    }

    fn bits(&mut self, bits: &BitString) -> fmt::Result {
        self.out.write_str("<<")?;
        if let Some((last, whole)) = bits.bytes.split_last() {
            let visible = self.visible(whole);
            write_numbers(self.out, visible)?;
            if !whole.is_empty() {
                self.out.write_char(',')?;
            }
            let unused = 8_u8.saturating_sub(bits.last_bits).min(7);
            write!(self.out, "{}:{}", last >> unused, bits.last_bits)?;
        }
        self.out.write_str(">>")
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
        write_pid(f, self, &Owner(Some(self.node.as_str())))
    }
}

impl Display for Port {
    /// `#Port<shop@10.0.0.7.9>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_port(f, self, &Owner(Some(self.node.as_str())))
    }
}

impl Display for Reference {
    /// `#Ref<shop@10.0.0.7.3.2.1>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reference(f, self, &Owner(Some(self.node.as_str())))
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

fn write_pid(f: &mut dyn Write, pid: &Pid, owner: &Owner<'_>) -> fmt::Result {
    write!(f, "<{owner}.{}.{}>", pid.id, pid.serial)
}

fn write_port(f: &mut dyn Write, port: &Port, owner: &Owner<'_>) -> fmt::Result {
    write!(f, "#Port<{owner}.{}>", port.id)
}

fn write_reference(f: &mut dyn Write, reference: &Reference, owner: &Owner<'_>) -> fmt::Result {
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

/// The printable character that an element of a list is.
fn character(term: &Term) -> Option<char> {
    let byte = u8::try_from(term.as_int()?).ok()?;
    Some(char::from(byte)).filter(|&c| quoting::is_printable_latin1(c))
}

fn write_binary(f: &mut dyn Write, bytes: &[u8]) -> fmt::Result {
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

/// The bytes without the beginning of a character of UTF-8 at their end.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}

fn write_numbers(f: &mut dyn Write, bytes: &[u8]) -> fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            f.write_char(',')?;
        }
        write!(f, "{byte}")?;
    }
    Ok(())
}
