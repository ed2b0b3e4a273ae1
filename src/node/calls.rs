//! Calls that wait for their answers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eetf::{Reference, Term};
use tokio::sync::oneshot;

use crate::dist::bridge::ours;
use crate::dist::etf::Unsendable;
use crate::dist::{CloseReason, ConnectError, Connection};
use crate::name::NodeName;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There was no connection and none could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended while the call was under way: nobody knows whether it was carried out.
    #[error("the connection to {peer} ended before it answered: {reason}")]
    Lost {
        /// The node that was called.
        peer: NodeName,
        /// Why the connection ended.
        reason: CloseReason,
    },
    /// The answer did not come in time. The call may still be carried out.
    #[error("{peer} did not answer within {after:?}")]
    Timeout {
        /// The node that was called.
        peer: NodeName,
        /// How long was waited.
        after: Duration,
    },
    /// The process that should answer is not there, or ended instead of answering.
    #[error(
        "the process {server} on {peer} did not answer but ended: {}",
        ours(reason)
    )]
    Exited {
        /// The node that was called.
        peer: NodeName,
        /// The registered name of the process.
        server: String,
        /// Its exit reason; `noproc` if there is no such process.
        reason: Term,
    },
    /// The function raised or exited, or does not exist: what `rpc:call` gives as `{badrpc, Reason}`.
    #[error("the call failed on {peer}: {}", ours(reason))]
    BadRpc {
        /// The node that was called.
        peer: NodeName,
        /// The reason.
        reason: Term,
    },
    /// An argument cannot be sent.
    #[error("an argument cannot be sent: {0}")]
    Unsendable(#[from] Unsendable),
    /// More calls wait for answers than are let wait.
    #[error("{0} calls wait for answers already; let some of them end first")]
    TooMany(usize),
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    Answer(Term),
    Exited(Term),
    Lost(CloseReason),
}

/// The most calls that wait at once: so many that only a mistake reaches it.
const MOST: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<HashMap<Reference, Waiting>>);

#[derive(Debug)]
struct Waiting {
    connection: Connection,
    answer: oneshot::Sender<Outcome>,
}

impl Calls {
    /// Waits for the answer under `tag`, which is forgotten when the [`Call`] is dropped.
    pub(super) fn begin(
        &self,
        tag: Reference,
        connection: Connection,
    ) -> Result<Call<'_>, CallError> {
        let (answer, outcome) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.len() >= MOST {
            return Err(CallError::TooMany(MOST));
        }
        waiting.insert(tag.clone(), Waiting { connection, answer });
        drop(waiting);
        Ok(Call {
            calls: self,
            tag,
            outcome,
        })
    }

    /// Tells the call under `tag` what became of it. Late and unknown answers are left alone.
    pub(super) fn end(&self, tag: &Reference, outcome: Outcome) {
        if let Some(waiting) = self.lock().remove(tag) {
            // Whoever waited may have gone just now.
            let _ = waiting.answer.send(outcome);
        }
    }

    /// Tells every call over a connection that it has ended.
    pub(super) fn lost(&self, connection: &Connection, reason: &CloseReason) {
        let over = |_: &Reference, waiting: &mut Waiting| waiting.connection.is(connection);
        for (_, waiting) in self.lock().extract_if(over) {
            let _ = waiting.answer.send(Outcome::Lost(reason.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Reference, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits.
pub(super) struct Call<'a> {
    calls: &'a Calls,
    tag: Reference,
    outcome: oneshot::Receiver<Outcome>,
}

impl Call<'_> {
    pub(super) async fn outcome(&mut self) -> Outcome {
        let outcome = (&mut self.outcome).await;
        outcome.unwrap_or(Outcome::Lost(CloseReason::Local))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.tag);
    }
}
