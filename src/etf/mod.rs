//! The external term format: terms, the codec between them and bytes, and their [`text`]. Pure.
//!
//! The format is OTP's: <https://www.erlang.org/doc/apps/erts/erl_ext_dist.html>.

mod atom;
mod copy;
mod decode;
mod encode;
#[doc(hidden)]
pub mod macros;
mod map;
mod order;
#[cfg(feature = "serde")]
pub mod serde;
mod tags;
mod term;
pub mod text;

pub use atom::{Atom, AtomTooLong};
pub use decode::{DecodeError, Decoder, Limits, decode, decode_with};
pub use encode::{
    Aside, EncodeError, InPlace, encode, encode_into, put_atom, put_int, put_pid, put_reference,
};
pub use map::{DuplicateKey, Map};
#[cfg(feature = "serde")]
pub use serde::{Error as SerdeError, from_bytes, from_term, to_term, to_vec};
pub use term::{BitString, Export, Fun, ImproperList, Pid, Port, Reference, Term};
