//! The Erlang distribution protocol: how one node talks to another.
//!
//! Connecting goes through four steps, each with errors of its own in [`ConnectError`]: the host is
//! resolved and EPMD asked for the node's port ([`locate`]), TCP connects, the handshake proves on
//! both sides that the cookie is known ([`handshake`]), and from then on a [`channel`] carries ticks and
//! control messages ([`control`]).
//!
//! Sources: [distribution protocol](https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html),
//! [external term format](https://www.erlang.org/doc/apps/erts/erl_ext_dist.html).

pub mod channel;
mod close;
pub mod control;
pub mod cookie;
mod diagnose;
mod dial;
mod error;
mod flags;
pub mod handshake;
pub mod header;
mod locate;
mod stream;
pub mod tls;

pub use close::CloseReason;
pub use diagnose::diagnose;
pub use dial::{DialOptions, dial, dial_for_name};
#[cfg(feature = "sidecar")]
pub(crate) use dial::{OPENING_PORT, until_awake};
pub use error::ConnectError;
pub use flags::Flags;
pub use handshake::{Identity, Peer};
pub use locate::{Located, locate};
pub use stream::Stream;
pub use tls::{Tls, TlsOptions};

/// How long OTP lets a connection be set up: `net_setuptime`, 7 s.
pub const DEFAULT_SETUP_TIME: std::time::Duration = std::time::Duration::from_secs(7);
/// How long OTP lets a connected peer be silent: `net_ticktime`, 60 s.
pub const DEFAULT_TICK_TIME: std::time::Duration = std::time::Duration::from_secs(60);
