//! What a process receives, where it can send, and how it ends.

use crate::dist::ConnectError;
use crate::etf::{Atom, Pid, Reference, Term};
use crate::name::{InvalidName, NodeName};

use super::signals::Monitored;

/// What a process received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// Somebody sent a message.
    Message(Term),
    /// An exit signal, which the process traps ([`super::Process::trap_exit`]).
    Exit {
        /// The process that ended, or that sent the signal.
        from: Pid,
        /// The reason.
        reason: Term,
    },
    /// A monitored process is down.
    Down {
        /// The monitor, which is gone with this.
        reference: Reference,
        /// The process, as it was named when it was monitored.
        process: Monitored,
        /// Why: its exit reason, or `noproc` or `noconnection`.
        reason: Term,
    },
    /// The process itself has ended, by an exit signal that it did not trap or because the node stopped;
    /// nothing else will come. Only code that made its process with [`super::Node::process`] sees this:
    /// the code of a process that was spawned ends with the process.
    Ended {
        /// Its exit reason.
        reason: Term,
    },
}

impl Received {
    /// The message, if it is one.
    #[must_use]
    pub fn into_message(self) -> Option<Term> {
        match self {
            Self::Message(term) => Some(term),
            _ => None,
        }
    }

    /// As a process in Erlang would get it: `{'EXIT', From, Reason}`,
    /// `{'DOWN', Reference, process, Process, Reason}`, or the message.
    #[must_use]
    pub fn into_term(self) -> Term {
        let exit = |from, reason| Term::Tuple(vec![Term::atom("EXIT"), from, reason]);
        match self {
            Self::Message(term) => term,
            Self::Exit { from, reason } => exit(from.into(), reason),
            Self::Down {
                reference,
                process,
                reason,
            } => {
                let process = match process {
                    Monitored::Pid(pid) => pid.into(),
                    Monitored::Name(name, node) => Term::Tuple(vec![name.into(), node.into()]),
                };
                Term::Tuple(vec![
                    Term::atom("DOWN"),
                    reference.into(),
                    Term::atom("process"),
                    process,
                    reason,
                ])
            }
            Self::Ended { reason } => exit(Term::atom("undefined"), reason),
        }
    }
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dest {
    /// To a process, here or elsewhere.
    Pid(Pid),
    /// To the process that is registered on this node under a name.
    Name(Atom),
    /// To the process that is registered on a node: the name, then the node.
    Remote(Atom, Atom),
    /// To the process that an alias stands for.
    Alias(Reference),
}

impl Dest {
    /// The process that is registered on a node under a name.
    ///
    /// # Errors
    /// If the name is longer than an atom can be.
    pub fn registered(name: &str, node: &NodeName) -> Result<Self, crate::etf::AtomTooLong> {
        Ok(Self::Remote(name.try_into()?, node.as_str().try_into()?))
    }
}

impl From<Pid> for Dest {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

impl From<&Pid> for Dest {
    fn from(pid: &Pid) -> Self {
        Self::Pid(pid.clone())
    }
}

impl From<Atom> for Dest {
    fn from(name: Atom) -> Self {
        Self::Name(name)
    }
}

impl From<(Atom, Atom)> for Dest {
    fn from((name, node): (Atom, Atom)) -> Self {
        Self::Remote(name, node)
    }
}

impl From<Reference> for Dest {
    fn from(alias: Reference) -> Self {
        Self::Alias(alias)
    }
}

impl From<&Dest> for Dest {
    fn from(dest: &Dest) -> Self {
        dest.clone()
    }
}

/// Why a process ended. What its code returns is one: `()` is `normal`, a [`Term`] is itself, of a
/// `Result` the error counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitReason(pub Term);

impl ExitReason {
    /// It did what it was for.
    pub const NORMAL: Self = Self(Term::atom("normal"));
    /// It was told to end.
    pub const SHUTDOWN: Self = Self(Term::atom("shutdown"));

    /// A panic: `{{panic, <<"what it said">>}, []}`, the form that an Erlang process has which failed
    /// with an error: the error, and a stack, which is not known here.
    pub(super) fn panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let words = crate::panics::words(panic).to_owned();
        let error = Term::Tuple(vec![Term::atom("panic"), Term::binary(words)]);
        Self(Term::Tuple(vec![error, Term::NIL]))
    }
}

impl From<()> for ExitReason {
    fn from((): ()) -> Self {
        Self::NORMAL
    }
}

impl From<Term> for ExitReason {
    fn from(reason: Term) -> Self {
        Self(reason)
    }
}

impl<E: Into<ExitReason>> From<Result<(), E>> for ExitReason {
    fn from(result: Result<(), E>) -> Self {
        result.map_or_else(Into::into, |()| Self::NORMAL)
    }
}

/// Whether a message was sent. That it was sent does not say that it arrived: as in Erlang, a message to a
/// process that is not there goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendFailed {
    /// There is no connection to the node, and none can be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The name that the node is given is none that a node can have.
    #[error("{} is no node: {why}", .node.as_str())]
    NoNode {
        /// The name.
        node: Atom,
        /// Why.
        why: InvalidName,
    },
    /// There is no connection to the node, and none was to be made.
    #[error("there is no connection to {}", .0.as_str())]
    NotConnected(Atom),
    /// The connection ended.
    #[error("the connection to {} ended", .0.as_str())]
    Lost(Atom),
    /// The peer reads more slowly than it is sent to, and the message was not to wait.
    #[error("{} reads more slowly than it is sent to", .0.as_str())]
    Busy(Atom),
    /// The message cannot be encoded.
    #[error("the message cannot be sent: {0}")]
    Unsendable(String),
    /// The node has been stopped.
    #[error("this node is stopped")]
    Stopped,
}
