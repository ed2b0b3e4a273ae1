//! Functions of other nodes: calling them, and starting processes that run them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::dist::{CloseReason, ConnectError, Flags};
use crate::etf::{Atom, AtomTooLong, Pid, Reference, Term};
use crate::name::NodeName;

use super::call::{CallError, because};
use super::erpc::{self, Apply, Ended};
use super::exception::{Exception, MOST_SHOWN};
use super::functions::{Context, Functions};
use super::process::Process;
use super::received::{Dest, ExitReason, Received};
use super::spawn::{Outcome, SpawnError, Start};
use super::spawn_options::Options;
use super::{Node, Shared, SpawnOptions, atom_of, rex};

/// Why a call of a function on another node has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The function raised an exception; `error:undef` if there is no such function.
    #[error("the function raised {0}")]
    Raised(Exception),
    /// The process that ran the function was ended by an exit signal of somebody, with this reason.
    #[error("the process that ran the function was ended: {}", .0.shown_in(MOST_SHOWN))]
    Signal(Term),
    /// There was no connection, and none could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended while the call was under way: nobody knows whether it was carried out.
    #[error("the connection to {} ended before it answered{}", .node.as_str(), because(.reason.as_ref()))]
    Lost {
        /// The node.
        node: Atom,
        /// Why the connection ended, if that is known.
        reason: Option<CloseReason>,
    },
    /// The answer did not come in time. The call may still be carried out.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The call was not begun.
    #[error(transparent)]
    NotStarted(SpawnError),
    /// The answer is none that the function can give.
    #[error("the answer is none that the function can give: {}", .0.shown_in(MOST_SHOWN))]
    Answer(Term),
    /// The name of the module or the function is too long.
    #[error(transparent)]
    Name(#[from] AtomTooLong),
}

impl From<SpawnError> for RpcError {
    fn from(error: SpawnError) -> Self {
        match error {
            SpawnError::NoConnection(node) => Self::Lost { node, reason: None },
            error => Self::NotStarted(error),
        }
    }
}

impl RpcError {
    /// As `rpc:call` sees it.
    fn into_call(self) -> Result<Term, CallError> {
        let exit = |reason| CallError::BadRpc(rex::exit(reason));
        Err(match self {
            Self::Raised(Exception::Throw(value)) | Self::Answer(value) => return Ok(value),
            Self::Raised(exception) => exit(exception.into_exit_reason()),
            Self::Signal(reason) => exit(reason),
            Self::Connect(error) => CallError::Connect(error),
            Self::Lost { node, reason } => CallError::NodeDown { node, reason },
            Self::Timeout(within) => CallError::Timeout(within),
            Self::NotStarted(SpawnError::Send(error)) => CallError::Unsendable(error),
            Self::NotStarted(SpawnError::Refused { reason, .. }) => exit(reason.into()),
            Self::NotStarted(SpawnError::NoConnection(node)) => {
                CallError::NodeDown { node, reason: None }
            }
            Self::NotStarted(SpawnError::TooMany(_)) => exit(Term::atom("system_limit")),
            Self::Name(_) => CallError::NameTooLong,
        })
    }
}

impl Node {
    /// Calls `module:function(arguments...)` on `peer`, as `erpc:call/5` does, in a process of its own there;
    /// connects first if there is no connection. `within` bounds all of it. What the function prints comes to
    /// this node's log. `peer` may be this node itself: then one of the functions that it offers is run.
    ///
    /// A peer that does not know spawn requests, as none before OTP 23 does, is asked through `rex`; its
    /// exceptions come as far as `{badrpc, Reason}` tells them apart.
    ///
    /// A call that is dropped or too late is given up: the function goes on, and nobody hears of its outcome.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn rpc(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
        within: Duration,
    ) -> Result<Term, RpcError> {
        let (module, function) = (Atom::try_from(module)?, Atom::try_from(function)?);
        let whole = self.rpc_unbounded(peer, module, function, arguments);
        timeout(within, whole)
            .await
            .unwrap_or(Err(RpcError::Timeout(within)))
    }

    async fn rpc_unbounded(
        &self,
        peer: &NodeName,
        module: Atom,
        function: Atom,
        arguments: Vec<Term>,
    ) -> Result<Term, RpcError> {
        let shared = &self.0;
        if peer == self.name() {
            return shared.call_here(module, function, arguments).await;
        }
        let node = atom_of(peer);
        let link = shared.connected(peer).await?;
        if !link.has(Flags::SPAWN) {
            return self
                .rpc_through_rex(node, module, function, arguments)
                .await;
        }
        let reference = shared.ids.reference();
        let start = Start {
            module: erpc::MODULE,
            function: erpc::EXECUTE_CALL,
            arguments: erpc::call_arguments(reference.clone(), module, function, arguments),
            options: Options {
                monitor: true,
                link: false,
            },
        };
        let mut call = shared.begin_call(&link, &node, start).await?;
        match call.outcome().await {
            Outcome::Down(reason) => read_end(&reference, reason),
            Outcome::Refused(reason) => {
                Err(RpcError::NotStarted(SpawnError::Refused { node, reason }))
            }
            Outcome::Lost => {
                let reason = link.reason();
                Err(RpcError::Lost { node, reason })
            }
        }
    }

    async fn rpc_through_rex(
        &self,
        node: Atom,
        module: Atom,
        function: Atom,
        arguments: Vec<Term>,
    ) -> Result<Term, RpcError> {
        let request = rex::call(module, function, arguments);
        let server = Dest::Remote(rex::NAME, node.clone());
        // The caller bounds it.
        let answer = self.call_server(server, request, Duration::MAX).await;
        let answer = answer.map_err(|error| match error {
            CallError::Connect(error) => RpcError::Connect(error),
            CallError::NodeDown { node, reason } => RpcError::Lost { node, reason },
            CallError::Unsendable(error) => RpcError::NotStarted(SpawnError::Send(error)),
            CallError::Timeout(within) => RpcError::Timeout(within),
            CallError::Exited(reason) | CallError::Ended(reason) | CallError::BadRpc(reason) => {
                RpcError::Signal(reason)
            }
            // The names are atoms already.
            CallError::NameTooLong => RpcError::Name(AtomTooLong),
        })?;
        rex::read_answer(answer).map_err(|reason| RpcError::Raised(rex::read_badrpc(reason)))
    }

    /// Calls `module:function(arguments...)` on `peer`, as `rpc:call/5` does: as [`Node::rpc`], but what the
    /// function throws counts as returned, and all that it may raise is one error.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::BadRpc`] is what `rpc:call` gives as `{badrpc, Reason}`.
    pub async fn call(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
        within: Duration,
    ) -> Result<Term, CallError> {
        let answer = self.rpc(peer, module, function, arguments, within).await;
        answer
            .or_else(RpcError::into_call)
            .and_then(|value| rex::read_answer(value).map_err(CallError::BadRpc))
    }

    /// Has `peer` run `module:function(arguments...)` and does not ask what came of it, as `erpc:cast/4` does;
    /// connects first if there is no connection.
    ///
    /// # Errors
    /// See [`RpcError`]: that it could not be sent.
    pub async fn rpc_cast(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
    ) -> Result<(), RpcError> {
        let (module, function) = (Atom::try_from(module)?, Atom::try_from(function)?);
        let shared = &self.0;
        if peer == self.name() {
            let apply = Apply::new(module, function, arguments);
            shared.run_here(apply, SpawnOptions::new(), |_| ExitReason::NORMAL)?;
            return Ok(());
        }
        let link = shared.connected(peer).await?;
        if link.has(Flags::SPAWN) {
            let start = Start {
                module: erpc::MODULE,
                function: erpc::EXECUTE_CAST,
                arguments: erpc::cast_arguments(module, function, arguments),
                options: Options::default(),
            };
            return Ok(shared.cast_spawn(&link, start).await?);
        }
        let server = Dest::Remote(rex::NAME, atom_of(peer));
        let request = rex::cast(module, function, arguments);
        let sent = self.cast(server, request).await;
        sent.map_err(|error| RpcError::NotStarted(SpawnError::Send(error)))
    }

    /// The process that is registered on `peer` under a name, as `erlang:whereis/1` there says.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn whereis_on(
        &self,
        peer: &NodeName,
        name: &str,
        within: Duration,
    ) -> Result<Option<Pid>, RpcError> {
        let arguments = vec![Atom::try_from(name)?.into()];
        let answer = self.rpc(peer, "erlang", "whereis", arguments, within);
        match answer.await? {
            Term::Pid(pid) => Ok(Some(*pid)),
            Term::Atom(nobody) if nobody == *"undefined" => Ok(None),
            answer => Err(RpcError::Answer(answer)),
        }
    }

    /// Starts a process on `peer` that runs `module:function(arguments...)`, as `erlang:spawn/4` does. A
    /// function that is not there is not told here: the process ends at once.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn spawn_on(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
    ) -> Result<Pid, RpcError> {
        self.process()
            .spawn_on(peer, module, function, arguments)
            .await
    }
}

impl Shared {
    /// Runs a function of this node's own in a process, as a peer would have it run.
    fn run_here(
        self: &Arc<Self>,
        apply: Apply,
        options: SpawnOptions,
        end: impl FnOnce(Result<Term, Exception>) -> ExitReason + Send + 'static,
    ) -> Result<Pid, SpawnError> {
        let limit = || SpawnError::Refused {
            node: self.ids.node().clone(),
            reason: Atom::new("system_limit"),
        };
        let slot = self.slots.take(0).ok_or_else(limit)?;
        let work = move |functions: Functions, context: Context| async move {
            end(functions.run(context, apply).await)
        };
        let (caller, leader) = (self.own.clone(), self.leader());
        let (pid, go) = self.begin_function(slot, options, Some(caller), Some(leader), work);
        // It may have been killed meanwhile.
        let _ = go.send(());
        Ok(pid)
    }

    /// Calls a function of this node's own, as `erpc:call(node(), ...)` does.
    async fn call_here(
        self: &Arc<Self>,
        module: Atom,
        function: Atom,
        arguments: Vec<Term>,
    ) -> Result<Term, RpcError> {
        let mut caller = Node::inner(self).process();
        let (mark, monitor) = (self.ids.reference(), self.ids.reference());
        let options = SpawnOptions::new().monitor(caller.pid().clone(), monitor);
        let apply = Apply::new(module, function, arguments);
        let marked = Term::from(mark.clone());
        self.run_here(apply, options, |outcome| {
            ExitReason(erpc::exit_reason(marked, outcome))
        })?;
        let reason = match caller.receive().await {
            Received::Down { reason, .. } | Received::Ended { reason } => reason,
            other => other.into_term(),
        };
        read_end(&mark, reason)
    }
}

/// What the end of the process that ran a function says of the call.
fn read_end(mark: &Reference, reason: Term) -> Result<Term, RpcError> {
    match erpc::ended(mark, reason) {
        Ended::Returned(value) => Ok(value),
        Ended::Raised(exception) => Err(RpcError::Raised(exception)),
        Ended::Signal(reason) => Err(RpcError::Signal(reason)),
    }
}

impl Process {
    /// Starts a process on `peer`, as `erlang:spawn/4` does: see [`Node::spawn_on`].
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn spawn_on(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
    ) -> Result<Pid, RpcError> {
        let options = Options::default();
        let started = self.start_on(peer, module, function, arguments, options);
        Ok(started.await?.0)
    }

    /// As [`Process::spawn_on`], linked to this process from its beginning.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn spawn_link_on(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
    ) -> Result<Pid, RpcError> {
        let options = Options {
            link: true,
            monitor: false,
        };
        let started = self.start_on(peer, module, function, arguments, options);
        Ok(started.await?.0)
    }

    /// As [`Process::spawn_on`], monitored by this process from its beginning.
    ///
    /// # Errors
    /// See [`RpcError`].
    pub async fn spawn_monitor_on(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
    ) -> Result<(Pid, Reference), RpcError> {
        let options = Options {
            link: false,
            monitor: true,
        };
        self.start_on(peer, module, function, arguments, options)
            .await
    }

    async fn start_on(
        &self,
        peer: &NodeName,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
        options: Options,
    ) -> Result<(Pid, Reference), RpcError> {
        let (module, function): (Atom, Atom) = (module.try_into()?, function.try_into()?);
        let shared = &self.node().0;
        if peer == self.node().name() {
            let id = shared.ids.reference();
            let mut begin = SpawnOptions::new();
            if options.link {
                begin = begin.link(self.pid().clone());
            }
            if options.monitor {
                begin = begin.monitor(self.pid().clone(), id.clone());
            }
            let apply = Apply::new(module, function, arguments);
            let pid = shared.run_here(apply, begin, |outcome| match outcome {
                Ok(_) => ExitReason::NORMAL,
                Err(raised) => ExitReason(raised.into_exit_reason()),
            })?;
            return Ok((pid, id));
        }
        let start = Start {
            module,
            function,
            arguments: Term::List(arguments),
            options,
        };
        let link = shared.connected(peer).await?;
        if !link.has(Flags::SPAWN) {
            let (node, reason) = (atom_of(peer), Atom::new("notsup"));
            return Err(RpcError::NotStarted(SpawnError::Refused { node, reason }));
        }
        let node = atom_of(peer);
        let started = shared.begin_process(&link, &node, &self.entry, start);
        Ok(started.await?)
    }
}
