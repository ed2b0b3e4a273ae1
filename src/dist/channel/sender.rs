//! The sending side of a connection.

use std::time::Duration;

use crate::dist::close::CloseReason;
use crate::dist::control::Control;
use crate::etf::{EncodeError, Term};

/// Sends messages to the peer. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Sender {}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has ended; [`Sender::closed`] says why.
    #[error("the connection has ended")]
    Ended,
    /// The peer reads too slowly, and this message was not to wait.
    #[error("too much waits for the peer, which reads slowly")]
    Busy,
    /// The message cannot be written. Nothing of it has been sent.
    #[error("the message cannot be written: {0}")]
    Encode(#[from] EncodeError),
}

impl Sender {
    /// Sends a message, and waits as long as too much waits for the peer. Messages of one sender, which
    /// the control message names, arrive in order. Cancel-safe: a message is sent whole or not at all.
    ///
    /// # Errors
    /// [`SendError::Ended`] or [`SendError::Encode`].
    pub async fn send(&self, _control: &Control, _payload: Option<&Term>) -> Result<(), SendError> {
        todo!()
    }

    /// Sends a message if it need not wait.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn try_send(&self, _control: &Control, _payload: Option<&Term>) -> Result<(), SendError> {
        todo!()
    }

    /// Sends what the node itself has to say and what must neither wait nor be lost: exits, monitors'
    /// messages, acknowledgements. When too much of it waits, the connection ends with
    /// [`CloseReason::Overrun`].
    ///
    /// # Errors
    /// [`SendError::Ended`] or [`SendError::Encode`].
    pub fn signal(&self, _control: &Control, _payload: Option<&Term>) -> Result<(), SendError> {
        todo!()
    }

    /// The flags that both sides have.
    #[must_use]
    pub fn flags(&self) -> u64 {
        todo!()
    }

    /// Takes over another `net_ticktime`.
    pub fn set_tick_time(&self, _tick_time: Duration) {
        todo!()
    }

    /// Ends the connection: what waits is written first, for at most half a second. The first reason
    /// given is the one that stays. Does not wait.
    pub fn close(&self, _reason: CloseReason) {
        todo!()
    }

    /// Waits for the end, and says what it was. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        todo!()
    }

    /// Whether it has ended or is about to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        todo!()
    }

    /// Whether `other` sends over this connection, and not over an earlier or later one.
    #[must_use]
    pub fn is(&self, _other: &Self) -> bool {
        todo!()
    }
}
