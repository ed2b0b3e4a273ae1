//! Calls between processes as OTP's `gen` module makes them, from both sides.
//!
//! A call is a message `{Label, {Pid, Tag}, Request}` with the label `'$gen_call'`; its answer is
//! `{Tag, Reply}`. The caller monitors the server, so that it hears of a server that is not there or ends.
//! Since OTP 24 the tag is `[alias | Reference]` and the answer goes to that alias, which the caller
//! ends when it gives up: a late answer goes nowhere.

use std::time::Duration;

use tokio::time::Instant;

use crate::dist::{CloseReason, ConnectError};
use crate::etf::{Atom, ImproperList, Pid, Term};

use super::Node;
use super::connection::Connection;
use super::exception::MOST_SHOWN;
use super::process::Process;
use super::received::{Dest, Received, SendFailed};
use super::signals::Monitored;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There was no connection and none could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended while the call was under way, or could not be made: nobody knows whether it
    /// was carried out. As between BEAMs, `{nodedown, Node}`.
    #[error("the connection to {} ended before it answered, or could not be made{}", .node.as_str(), because(.reason.as_ref()))]
    NodeDown {
        /// The node.
        node: Atom,
        /// Why the connection ended, if there was one.
        reason: Option<CloseReason>,
    },
    /// The answer did not come in time. The call may still be carried out.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The process that should answer is not there (`noproc`), or ended instead of answering.
    #[error("the process that was called ended instead of answering: {}", .0.shown_in(MOST_SHOWN))]
    Exited(Term),
    /// The request cannot be sent.
    #[error(transparent)]
    Unsendable(SendFailed),
    /// The function raised or exited, or does not exist: what `rpc:call` gives as `{badrpc, Reason}`.
    #[error("the call failed: {}", .0.shown_in(MOST_SHOWN))]
    BadRpc(Term),
    /// The name of a module or of a function is longer than an atom can be.
    #[error("a name has at most 255 characters")]
    NameTooLong,
    /// The process that calls has ended itself.
    #[error("the process that called has ended: {}", .0.shown_in(MOST_SHOWN))]
    Ended(Term),
}

/// The end of a sentence that tells why a connection ended.
pub(super) fn because(reason: Option<&CloseReason>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// Who waits for an answer, and under which tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The process that called.
    pub pid: Pid,
    /// What its answer begins with.
    pub tag: Term,
}

impl Caller {
    /// `{Pid, Tag}`.
    #[must_use]
    pub fn from_term(term: Term) -> Option<Self> {
        let Term::Tuple(elements) = term else {
            return None;
        };
        let [pid, tag]: [Term; 2] = elements.try_into().ok()?;
        let Term::Pid(pid) = pid else { return None };
        Some(Self { pid: *pid, tag })
    }

    /// Where the answer goes: to the alias in the tag, `[alias | Reference]` or
    /// `[[alias | Reference] | _]`, else to the process.
    #[must_use]
    pub fn dest(&self) -> Dest {
        let alias = |term: &Term| match term {
            Term::ImproperList(list) => match (list.elements.as_slice(), &list.tail) {
                ([Term::Atom(word)], Term::Reference(alias)) if *word == *"alias" => {
                    Some(Dest::Alias((**alias).clone()))
                }
                _ => None,
            },
            _ => None,
        };
        let first = match &self.tag {
            Term::ImproperList(list) => list.elements.first(),
            Term::List(list) => list.first(),
            _ => None,
        };
        alias(&self.tag)
            .or_else(|| first.and_then(alias))
            .unwrap_or_else(|| Dest::Pid(self.pid.clone()))
    }
}

/// What a message asks of a process, if OTP's conventions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// `gen_server:call`, `gen_statem:call`: to be answered with [`Process::reply`].
    Call {
        /// Who asks.
        from: Caller,
        /// What.
        request: Term,
    },
    /// `gen_server:cast`, `gen_statem:cast`.
    Cast(Term),
    /// `gen_event:notify`.
    Event(Term),
    /// What else is asked of a `gen_event` manager: `{sync_notify, Event}`, `{call, Handler, Query}`,
    /// `which_handlers` and so on. To be answered with [`Process::reply`].
    EventCall {
        /// Who asks.
        from: Caller,
        /// What.
        request: Term,
    },
    /// What OTP's `sys` asks of a process: `get_state`, `suspend`, `{terminate, Reason}` and so on. To be answered with
    /// [`Process::reply`]. A [`GenServer`](super::GenServer) answers these itself.
    System {
        /// Who asks.
        from: Caller,
        /// What.
        request: Term,
    },
    /// Anything else.
    Other(Received),
}

impl Request {
    /// Takes what was received apart.
    #[must_use]
    pub fn of(received: Received) -> Self {
        let Received::Message(Term::Tuple(mut elements)) = received else {
            return Self::Other(received);
        };
        let label = |name: &str| matches!(&elements[0], Term::Atom(atom) if *atom == *name);
        match elements.len() {
            3 if label("$gen_call") && is_caller(&elements[1]) => {
                let request = elements.pop().unwrap_or(Term::NIL);
                match elements.pop().and_then(Caller::from_term) {
                    Some(from) => Self::Call { from, request },
                    None => Self::Other(Received::Message(Term::Tuple(elements))),
                }
            }
            // The label of gen_event's calls is the caller.
            3 if is_caller(&elements[1])
                && elements[1].as_tuple().and_then(<[Term]>::first) == Some(&elements[0]) =>
            {
                let request = elements.pop().unwrap_or(Term::NIL);
                match elements.pop().and_then(Caller::from_term) {
                    Some(from) => Self::EventCall { from, request },
                    None => Self::Other(Received::Message(Term::Tuple(elements))),
                }
            }
            3 if label("system") && is_caller(&elements[1]) => {
                let request = elements.pop().unwrap_or(Term::NIL);
                match elements.pop().and_then(Caller::from_term) {
                    Some(from) => Self::System { from, request },
                    None => Self::Other(Received::Message(Term::Tuple(elements))),
                }
            }
            2 if label("$gen_cast") => Self::Cast(elements.pop().unwrap_or(Term::NIL)),
            2 if label("notify") => Self::Event(elements.pop().unwrap_or(Term::NIL)),
            _ => Self::Other(Received::Message(Term::Tuple(elements))),
        }
    }
}

fn is_caller(term: &Term) -> bool {
    matches!(term.as_tuple(), Some([Term::Pid(_), _]))
}

impl Process {
    /// Calls a `gen_server`, as `gen_server:call/3` does; what else comes meanwhile stays in the mailbox.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &mut self,
        server: impl Into<Dest>,
        request: Term,
        within: Duration,
    ) -> Result<Term, CallError> {
        let server = server.into();
        let until = Instant::now().checked_add(within);
        let Some(monitored) = self.monitored(&server) else {
            // `noproc`, as of any process that is not there.
            return Err(CallError::Exited(Term::atom("noproc")));
        };
        let whole = self.call_and_wait(&server, monitored, request, until);
        let answer = match until {
            // Connecting counts too.
            Some(until) => tokio::time::timeout_at(until, whole)
                .await
                .unwrap_or(Ok(None)),
            None => whole.await,
        };
        match answer {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(CallError::Timeout(within)),
            Err(error) => Err(error),
        }
    }

    fn monitored(&self, server: &Dest) -> Option<Monitored> {
        Some(match server.clone() {
            Dest::Pid(pid) => Monitored::Pid(pid),
            Dest::Name(name) => Monitored::Name(name, self.pid().node.clone()),
            Dest::Remote(name, node) => Monitored::Name(name, node),
            Dest::Alias(_) => return None,
        })
    }

    async fn call_and_wait(
        &mut self,
        server: &Dest,
        monitored: Monitored,
        request: Term,
        until: Option<Instant>,
    ) -> Result<Option<Term>, CallError> {
        let shared = &self.node().0;
        let node = monitored.node().clone();
        let mut link = None;
        if !shared.is_own_node(&node) {
            // The monitor would say no more than that there is no connection.
            match shared.link_to(&node).await {
                Ok(made) => link = Some(made),
                Err(SendFailed::Connect(error)) => return Err(CallError::Connect(error)),
                Err(SendFailed::Stopped) => return Err(ConnectError::Stopped.into()),
                Err(error) => return Err(CallError::Unsendable(error)),
            }
        }
        // Also if this process is the one that receives too slowly.
        let _awaited = link.as_ref().map(Connection::await_answer);
        let mark = self.mark();
        let mut monitor = Monitoring::begin(self, monitored).await;
        let tag = Term::ImproperList(Box::new(ImproperList {
            elements: vec![Term::atom("alias")],
            tail: monitor.reference.clone().into(),
        }));
        let reference = monitor.reference.clone();
        let process = &mut *monitor.process;
        let from = Term::Tuple(vec![process.pid().clone().into(), tag.clone()]);
        let message = Term::Tuple(vec![Term::atom("$gen_call"), from, request]);
        match process.send(server, message).await {
            // The monitor tells what became of the connection.
            Ok(()) | Err(SendFailed::Connect(_) | SendFailed::Lost(_)) => {}
            Err(error) => return Err(CallError::Unsendable(error)),
        }
        // A peer older than OTP 24 answers the process itself, under the same tag.
        let answer = process
            .select_from(mark, until, |received| match received {
                Received::Message(Term::Tuple(elements)) => {
                    matches!(elements.as_slice(), [first, _] if *first == tag)
                }
                Received::Down { reference: of, .. } => *of == reference,
                _ => false,
            })
            .await;
        match answer {
            None => Ok(None),
            Some(Received::Message(Term::Tuple(mut elements))) => {
                monitor.answered = true;
                Ok(elements.pop())
            }
            Some(Received::Down { reason, .. }) if is_noconnection(&reason) => {
                monitor.answered = true;
                let reason = link.and_then(|link| link.reason());
                Err(CallError::NodeDown { node, reason })
            }
            Some(Received::Down { reason, .. }) => {
                monitor.answered = true;
                Err(CallError::Exited(reason))
            }
            Some(Received::Ended { reason }) => Err(CallError::Ended(reason)),
            Some(_) => Ok(None),
        }
    }

    /// Sends a request that is not answered, as `gen_server:cast/2` does.
    ///
    /// # Errors
    /// See [`SendFailed`].
    pub async fn cast(&self, server: impl Into<Dest>, request: Term) -> Result<(), SendFailed> {
        self.send(server, cast(request)).await
    }

    /// Answers a call.
    ///
    /// # Errors
    /// See [`SendFailed`]; that the caller has gone is no error.
    pub async fn reply(&self, to: &Caller, answer: impl Into<Term>) -> Result<(), SendFailed> {
        let message = Term::Tuple(vec![to.tag.clone(), answer.into()]);
        self.send(to.dest(), message).await
    }
}

/// A monitor for as long as a call lasts, also when the call is cancelled.
struct Monitoring<'a> {
    process: &'a mut Process,
    reference: crate::etf::Reference,
    /// The answer or the end of the server has been received: nothing more comes of the monitor.
    answered: bool,
}

impl<'a> Monitoring<'a> {
    async fn begin(process: &'a mut Process, monitored: Monitored) -> Self {
        let reference = process.monitor_alias(monitored).await;
        Self {
            process,
            reference,
            answered: false,
        }
    }
}

impl Drop for Monitoring<'_> {
    fn drop(&mut self) {
        if self.answered {
            self.process.take_back(&self.reference);
        } else {
            self.process.demonitor(&self.reference);
        }
    }
}

pub(super) fn cast(request: Term) -> Term {
    Term::Tuple(vec![Term::atom("$gen_cast"), request])
}

fn is_noconnection(reason: &Term) -> bool {
    matches!(reason, Term::Atom(atom) if *atom == *"noconnection")
}

impl Node {
    /// Sends a message as the node itself.
    ///
    /// # Errors
    /// See [`SendFailed`]; that nobody is there is no error.
    pub async fn send(
        &self,
        to: impl Into<Dest>,
        message: impl Into<Term>,
    ) -> Result<(), SendFailed> {
        let shared = &self.0;
        shared.send(&shared.own, &to.into(), message.into()).await
    }

    /// Calls a `gen_server`, as [`Process::call`] does, with a process that is there for this call only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_server(
        &self,
        server: impl Into<Dest>,
        request: Term,
        within: Duration,
    ) -> Result<Term, CallError> {
        self.process().call(server, request, within).await
    }

    /// Sends a request that is not answered, as `gen_server:cast/2` does.
    ///
    /// # Errors
    /// See [`SendFailed`].
    pub async fn cast(&self, server: impl Into<Dest>, request: Term) -> Result<(), SendFailed> {
        self.send(server, cast(request)).await
    }
}
