//! A service as a value with handlers, after OTP's `gen_server`.

use tokio::sync::oneshot;

use crate::etf::{Pid, Term};

use super::Node;
use super::call::{Caller, Request};
use super::discard::discard;
use super::process::Process;
use super::received::{ExitReason, Received};
use super::registry::RegisterError;
use super::system_messages::{self, Then};
use super::task::SpawnOptions;

/// A service that processes of this node and of others call: with `gen_server:call` and `cast`,
/// `gen_statem:call` and `cast`, and as a `gen_event` manager.
///
/// Its handlers run one at a time, in the order of the messages. [`Node::serve`] starts it. What happens when
/// it ends is its user's choice: a process that monitors or links to it is told.
///
/// It answers OTP's `sys` as a `gen_server` of a BEAM does: `sys:get_state/1`, `get_status/1`, `suspend/1`, `resume/1`,
/// and `gen_server:stop/1`, which calls [`terminate`](Self::terminate). Suspended, it takes no other messages. What
/// needs a fun of the BEAM's, `sys:replace_state/2` and tracing, is refused.
///
/// ```no_run
/// # use rendez::node::{Answer, Caller, GenServer, Process};
/// # use rendez::etf::Term;
/// struct Counter(i64);
///
/// impl GenServer for Counter {
///     async fn handle_call(&mut self, by: Term, _: Caller, _: &mut Process) -> Answer {
///         self.0 += by.as_int().unwrap_or(1);
///         Answer::Reply(Term::Int(self.0))
///     }
/// }
/// ```
pub trait GenServer: Send + Sized + 'static {
    /// Begins. An error is the exit reason, and [`Node::serve`] says so.
    fn init(
        &mut self,
        process: &mut Process,
    ) -> impl Future<Output = Result<(), ExitReason>> + Send {
        let _ = process;
        async { Ok(()) }
    }

    /// Answers a call, or keeps `from` and answers later with [`Process::reply`].
    fn handle_call(
        &mut self,
        request: Term,
        from: Caller,
        process: &mut Process,
    ) -> impl Future<Output = Answer> + Send;

    /// Takes a request that is not answered. Default: a line in the log with the request's shape
    /// ([`Term::shape`]), not its content.
    fn handle_cast(
        &mut self,
        request: Term,
        process: &mut Process,
    ) -> impl Future<Output = Next> + Send {
        tracing::warn!(pid = %process.pid(), "a cast that is not handled: {}", request.shape());
        discard(request);
        async { Next::Continue }
    }

    /// Takes an event, as a `gen_event` manager gets it by `notify` and `sync_notify`. Default: as a cast.
    fn handle_event(
        &mut self,
        event: Term,
        process: &mut Process,
    ) -> impl Future<Output = Next> + Send {
        self.handle_cast(event, process)
    }

    /// Answers `gen_event:call(Manager, Handler, Query)`. Default: as a call with the query.
    fn handle_event_call(
        &mut self,
        handler: Term,
        query: Term,
        from: Caller,
        process: &mut Process,
    ) -> impl Future<Output = Answer> + Send {
        let _ = handler;
        self.handle_call(query, from, process)
    }

    /// Takes anything else: messages, exits that are trapped, monitors that fired. Default: a line in the
    /// log with the shape of what came, not its content.
    fn handle_info(
        &mut self,
        received: Received,
        process: &mut Process,
    ) -> impl Future<Output = Next> + Send {
        let received = received.into_term();
        tracing::debug!(pid = %process.pid(), "a message that is not handled: {}", received.shape());
        discard(received);
        async { Next::Continue }
    }

    /// What `sys:get_state/1` and `sys:get_status/1` show. Default: `{rust, TypeName}`, since what it holds may be a
    /// secret.
    fn state(&self) -> Term {
        let name = std::any::type_name::<Self>();
        Term::Tuple(vec![Term::atom("rust"), Term::from(name)])
    }

    /// Comes last: after a handler asked to stop, after `gen_server:stop/1`, and when the node stops and the process traps exits.
    fn terminate(
        &mut self,
        reason: &ExitReason,
        process: &mut Process,
    ) -> impl Future<Output = ()> + Send {
        let _ = (reason, process);
        async {}
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is answered.
    Reply(Term),
    /// It will be, with [`Process::reply`].
    Later,
    /// The service stops; the call is answered first, if there is an answer.
    Stop(ExitReason, Option<Term>),
}

/// What comes after a handler.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// The service goes on.
    Continue,
    /// It stops.
    Stop(ExitReason),
}

/// Why a service did not start.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Its name cannot be registered.
    #[error(transparent)]
    Name(#[from] RegisterError),
    /// Its `init` failed, or it was ended meanwhile.
    #[error("the service did not begin: {0:?}")]
    Init(Term),
}

impl Node {
    /// Runs a service as a process, and waits until it has begun.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn serve(
        &self,
        options: SpawnOptions,
        server: impl GenServer,
    ) -> Result<Pid, ServeError> {
        let (begun, began) = oneshot::channel();
        let code = |process| serve(server, process, begun);
        let pid = self.spawn_with(options, code)?;
        match began.await {
            Ok(Ok(())) => Ok(pid),
            Ok(Err(reason)) => Err(ServeError::Init(reason)),
            // It panicked, or was ended.
            Err(_) => Err(ServeError::Init(Term::atom("killed"))),
        }
    }
}

async fn serve(
    mut server: impl GenServer,
    mut process: Process,
    begun: oneshot::Sender<Result<(), Term>>,
) -> ExitReason {
    if let Err(reason) = server.init(&mut process).await {
        // Nobody may wait for it any more.
        let _ = begun.send(Err(reason.0.clone()));
        return reason;
    }
    let _ = begun.send(Ok(()));
    let own = process.node().0.own.clone();
    let mut suspended = false;
    loop {
        let received = if suspended {
            let wanted = |received: &Received| {
                let shutdown = matches!(received, Received::Exit { from, .. } if *from == own);
                shutdown || system_messages::is_system(received)
            };
            match process.select(None, wanted).await {
                Some(received) => received,
                None => continue,
            }
        } else {
            process.receive().await
        };
        if process.is_shutdown(&received) {
            let reason = ExitReason::SHUTDOWN;
            server.terminate(&reason, &mut process).await;
            return reason;
        }
        if system_messages::is_system(&received) {
            let Request::System { from, request } = Request::of(received) else {
                continue;
            };
            // The service need not be `Sync`, so nothing waits while it is looked at.
            let answered =
                system_messages::answer(&request, process.pid(), suspended, || server.state());
            if let Err(error) = process.reply(&from, answered.reply).await {
                tracing::debug!(pid = %process.pid(), "an answer could not be sent: {error}");
            }
            match answered.then {
                Then::GoesOn => {}
                Then::Suspends => suspended = true,
                Then::Resumes => suspended = false,
                Then::Ends(reason) => {
                    server.terminate(&reason, &mut process).await;
                    return reason;
                }
            }
            continue;
        }
        if let Next::Stop(reason) = handle(&mut server, &mut process, received).await {
            server.terminate(&reason, &mut process).await;
            return reason;
        }
    }
}

async fn handle(server: &mut impl GenServer, process: &mut Process, received: Received) -> Next {
    let (from, answer) = match Request::of(received) {
        Request::Call { from, request } => {
            let answer = server.handle_call(request, from.clone(), process).await;
            (from, answer)
        }
        Request::Cast(request) => return server.handle_cast(request, process).await,
        Request::Event(event) => return server.handle_event(event, process).await,
        Request::EventCall { from, request } => {
            let answer = handle_event_call(server, process, request, &from).await;
            (from, answer)
        }
        // The loop around takes these.
        Request::System { .. } => return Next::Continue,
        Request::Other(received) => return server.handle_info(received, process).await,
    };
    let (answer, next) = match answer {
        Answer::Reply(answer) => (Some(answer), Next::Continue),
        Answer::Later => (None, Next::Continue),
        Answer::Stop(reason, answer) => (answer, Next::Stop(reason)),
    };
    if let Some(answer) = answer
        && let Err(error) = process.reply(&from, answer).await
    {
        tracing::debug!(pid = %process.pid(), "an answer could not be sent: {error}");
    }
    next
}

/// What the calls of `gen_event` ask of a manager. There is one handler here, the service itself, so that
/// handlers cannot be added or taken away.
async fn handle_event_call(
    server: &mut impl GenServer,
    process: &mut Process,
    request: Term,
    from: &Caller,
) -> Answer {
    let Term::Tuple(elements) = request else {
        // `which_handlers` and the like.
        return Answer::Reply(Term::NIL);
    };
    let word = elements.first().and_then(Term::as_atom).cloned();
    let mut rest = elements.into_iter().skip(1);
    match (
        word.as_ref().map(crate::etf::Atom::as_str),
        rest.next(),
        rest.next(),
    ) {
        (Some("sync_notify"), Some(event), None) => {
            match server.handle_event(event, process).await {
                Next::Continue => Answer::Reply(Term::atom("ok")),
                Next::Stop(reason) => Answer::Stop(reason, Some(Term::atom("ok"))),
            }
        }
        (Some("call"), Some(handler), Some(query)) => {
            server
                .handle_event_call(handler, query, from.clone(), process)
                .await
        }
        _ => Answer::Reply(Term::Tuple(vec![
            Term::atom("error"),
            Term::atom("bad_module"),
        ])),
    }
}
