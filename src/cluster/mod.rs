//! Which nodes to connect to, and when: the engine decides, a driver does.
//!
//! [`Input`] says what was learnt, [`Action`] what is to be done. In between stands the [`Engine`], a pure
//! state machine that opens no socket, reads no clock and spawns nothing; it goes by a [`Policy`].

mod accept;
#[cfg(feature = "discovery")]
pub mod driver;
mod engine;
mod io;
mod policy;
mod random;
pub mod report;
mod view;

pub use accept::{Accept, InvalidPattern, Pattern};
pub use engine::Engine;
pub use io::{Action, ConnectError, Event, Input, ProviderId, Refusal};
pub use policy::{Backoff, InvalidBackoff, OnRemoved, Policy};
pub use view::{Counters, NodeState, NodeView, ProviderSet, ProviderView};
