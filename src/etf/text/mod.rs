//! Erlang terms as text: what a user types becomes a term, what a node answers becomes text.
//!
//! ```
//! use rendez::etf::Term;
//! let term: Term = "[1, 2, {x, \"y\"}]".parse().unwrap();
//! assert_eq!(term.to_string(), "[1,2,{x,\"y\"}]");
//! ```
//!
//! The syntax is that of Erlang's expressions as far as they are data:
//! <https://www.erlang.org/doc/system/data_types.html>. The text of a term is what `io_lib:format("~tp", [Term])`
//! makes of it, on one line.

mod float;
mod print;
mod quoting;
mod read;
mod shape;

pub use print::Shown;
pub use read::{MAX_DEPTH, SyntaxError};
pub use shape::Shape;

#[cfg(test)]
mod tests;
