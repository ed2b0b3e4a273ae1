//! Erlang terms as text: what a user types becomes a term, what a node answers becomes text.
//!
//! ```
//! use rendez::term;
//! let term = term::parse("[1, 2, {x, \"y\"}]").unwrap();
//! assert_eq!(term::show(&term).to_string(), "[1,2,{x,\"y\"}]");
//! ```
//!
//! The syntax is that of Erlang's expressions as far as they are data:
//! <https://www.erlang.org/doc/system/data_types.html>. The text of a term is what `io_lib:format("~tp", [Term])`
//! makes of it, on one line.
//!
//! The terms are eetf's. Its own `Display` is not used: it quotes every atom, writes text and binaries as
//! numbers and `1.0` as `1`, and orders maps by chance.

mod atom;
mod float;
mod print;
mod read;

pub use print::{Shown, show};
pub use read::{MAX_DEPTH, SyntaxError, parse};

use eetf::{ByteList, List, Term};

/// The list of these elements, in the form in which a list comes off the wire: one of 1 to 65,535 bytes is a
/// `STRING_EXT`, see <https://www.erlang.org/doc/apps/erts/erl_ext_dist.html#string_ext>.
fn list(elements: Vec<Term>) -> Term {
    let byte = |term: &Term| match term {
        Term::FixInteger(number) => u8::try_from(number.value).ok(),
        _ => None,
    };
    if elements.is_empty() || elements.len() > usize::from(u16::MAX) {
        return List::from(elements).into();
    }
    match elements.iter().map(byte).collect::<Option<Vec<u8>>>() {
        Some(bytes) => ByteList::from(bytes).into(),
        None => List::from(elements).into(),
    }
}

#[cfg(test)]
mod tests;
