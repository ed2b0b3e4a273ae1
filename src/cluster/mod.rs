//! Which nodes to connect to, and when: the engine decides, a driver does.
//!
//! [`Input`] says what was learnt, [`Action`] what is to be done. In between stands a pure state
//! machine that opens no socket, reads no clock and spawns nothing.

mod io;

pub use io::{Action, ConnectError, Event, Input, ProviderId, Refusal};
