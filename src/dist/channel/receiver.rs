//! The receiving side of a connection.

use crate::dist::close::CloseReason;
use crate::dist::control::Control;
use crate::etf::Term;

/// What came in: a control message and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// What it says.
    pub control: Control,
    /// The message, reason or arguments; there is one exactly when [`Control::has_payload`] says so.
    pub payload: Option<Term>,
}

/// Receives what the peer sends. When it is dropped, the connection ends.
#[derive(Debug)]
pub struct Receiver {}

impl Receiver {
    /// Waits for the next message. While it is not called nothing is read from the peer, which then has
    /// to wait, and does not count as silent. Cancel-safe.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn next(&mut self) -> Result<Incoming, CloseReason> {
        todo!()
    }
}
