//! A connection to another node: who is there, and the task that takes what it sends.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures::poll;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::dist::channel::{Receiver, SendError, Sender};
use crate::dist::control::Control;
use crate::dist::{CloseReason, Flags, Peer};
use crate::etf::{Atom, Term};

use super::Shared;
use super::credit::{Awaited, Gate};
use super::entry::Entry;
use super::received::SendFailed;
use super::table;

/// A connection to another node. Clones share it.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    peer: Peer,
    node: Atom,
    flags: Flags,
    sender: Sender,
    gate: Arc<Gate>,
    /// Whether this node began it.
    begun_here: bool,
    /// When it came to be.
    since: Instant,
    /// How many payloads were not taken, because they went beyond a limit.
    lost: AtomicU64,
    /// Whether everyone has been told of its end.
    settled: watch::Sender<bool>,
}

impl Connection {
    pub(super) fn new(
        peer: Peer,
        node: Atom,
        sender: Sender,
        gate: Arc<Gate>,
        begun_here: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            flags: peer.flags,
            peer,
            node,
            sender,
            gate,
            begun_here,
            since: Instant::now(),
            lost: AtomicU64::new(0),
            settled: watch::Sender::new(false),
        }))
    }

    /// Whether this node began it, and not the peer.
    pub(super) fn begun_here(&self) -> bool {
        self.0.begun_here
    }

    /// Whether it came to be after that moment.
    pub(super) fn is_since(&self, moment: Instant) -> bool {
        self.0.since >= moment
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// The peer's name, as terms have it.
    #[must_use]
    pub fn node(&self) -> &Atom {
        &self.0.node
    }

    /// Takes over the `net_ticktime` of the peer, which has to be the same on both sides.
    pub fn set_tick_time(&self, tick_time: Duration) {
        self.0.sender.set_tick_time(tick_time);
    }

    /// Ends the connection, once what waits has been written. [`Connection::closed`] says when it has ended.
    ///
    /// For a visible node this is a loss that `global` on both sides tells to others: see [`Node::disconnect`], which
    /// ends no other connection.
    ///
    /// [`Node::disconnect`]: super::Node::disconnect
    pub fn close(&self, reason: CloseReason) {
        self.0.sender.close(reason);
    }

    /// Waits for the end, and says what it was. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        self.0.sender.closed().await
    }

    /// Whether it has ended, or is about to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.sender.is_closed()
    }

    /// How many messages, and reasons and arguments of signals, were not taken from the peer because they went
    /// beyond a limit ([`Builder::decode_limits`](super::Builder::decode_limits),
    /// [`Builder::max_message`](super::Builder::max_message)). The log says of the first, the second, the fourth and
    /// so on what it was.
    #[must_use]
    pub fn lost_payloads(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Counts a payload that was not taken; gives how many there were.
    pub(super) fn count_lost(&self) -> u64 {
        self.0.lost.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether `other` is this connection, and not an earlier or later one to the same peer.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits until the connection has ended and every link and monitor over it has fired.
    pub(super) async fn settled(&self) {
        let mut settled = self.0.settled.subscribe();
        // An error means that nobody is left who could be told.
        let _ = settled.wait_for(|settled| *settled).await;
    }

    /// Sends a message. Waits while too much waits for the peer.
    pub(super) async fn send(
        &self,
        control: &Control,
        payload: Option<&Term>,
    ) -> Result<(), SendFailed> {
        let sent = self.0.sender.send(control, payload).await;
        sent.map_err(|error| self.failed(error))
    }

    /// Sends a message if it need not wait.
    pub(super) fn try_send(
        &self,
        control: &Control,
        payload: Option<&Term>,
    ) -> Result<(), SendFailed> {
        let sent = self.0.sender.try_send(control, payload);
        sent.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: SendError) -> SendFailed {
        match error {
            SendError::Busy => SendFailed::Busy(self.0.node.clone()),
            SendError::Encode(error) => SendFailed::Unsendable(error.to_string()),
            _ => SendFailed::Lost(self.0.node.clone()),
        }
    }

    /// Sends what the node itself has to say. Never waits. Whether the connection took it.
    ///
    /// A reason that no node could read is replaced by `{unsendable, <<"why">>}`: whoever waits for the end of
    /// a process is to hear of it, whatever its reason.
    pub(super) fn signal(&self, control: &Control, payload: Option<&Term>) -> bool {
        let sent = self.0.sender.signal(control, payload);
        let Err(SendError::Encode(error)) = sent else {
            return sent.is_ok();
        };
        tracing::warn!(peer = %self.0.peer.name, "the reason of a signal cannot be sent: {error}");
        let why = Term::Tuple(vec![
            Term::atom("unsendable"),
            Term::binary(error.to_string()),
        ]);
        // Without EXIT_PAYLOAD the reason is in the control message.
        let mut control = control.clone();
        match &mut control {
            Control::Exit { reason, .. }
            | Control::Exit2 { reason, .. }
            | Control::MonitorExit { reason, .. } => *reason = why.clone(),
            _ => {}
        }
        self.0
            .sender
            .signal(&control, payload.is_some().then_some(&why))
            .is_ok()
    }

    /// Whether both sides can do that.
    pub(super) fn has(&self, flags: Flags) -> bool {
        self.0.flags.contains(flags)
    }

    /// Whether both ends are visible nodes: the peer lists this node in `nodes()`.
    pub(super) fn is_visible(&self) -> bool {
        self.has(Flags::PUBLISHED)
    }

    /// Why it ended, or is about to.
    pub(super) fn reason(&self) -> Option<CloseReason> {
        self.0.sender.reason()
    }

    /// An answer of the peer is waited for until this is dropped: it is read although a process here receives too
    /// slowly.
    pub(super) fn await_answer(&self) -> Awaited {
        self.0.gate.await_answer()
    }

    /// What the messages that came over it and wait in mailboxes count against.
    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.0.peer)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// How many messages are handed out before the processes that they are for are woken, at most.
const BATCH: usize = 256;
/// How much is handed out before those processes have their turn. What they let go of can be used again.
const TURN: usize = 16 * 1024;

/// How often a reader that waits asks whether something is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Of how many processes a reader that waits asks it, at most.
const ASKED: usize = 65_536;

/// Takes what comes over a connection until it ends, and then tells everyone.
pub(super) async fn run(connection: Connection, mut receiver: Receiver, shared: Weak<Shared>) {
    let mut end = End {
        connection: &connection,
        shared: &shared,
        reason: None,
    };
    let mut wake = Vec::new();
    let reason = take(&connection, &mut receiver, &shared, &mut wake).await;
    wake_all(&mut wake);
    connection.close(reason);
    end.reason = Some(connection.closed().await);
}

/// Tells everyone that a connection has ended, also when its task is dropped or panics.
struct End<'a> {
    connection: &'a Connection,
    shared: &'a Weak<Shared>,
    reason: Option<CloseReason>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.connection.close(CloseReason::Local);
        let reason = self.reason.take().or_else(|| self.connection.reason());
        if let Some(shared) = self.shared.upgrade() {
            table::lost(
                &shared,
                self.connection,
                reason.unwrap_or(CloseReason::Local),
            );
        }
        self.connection.0.settled.send_replace(true);
    }
}

/// Takes what comes until there is a reason to end.
async fn take(
    connection: &Connection,
    receiver: &mut Receiver,
    shared: &Weak<Shared>,
    wake: &mut Vec<Arc<Entry>>,
) -> CloseReason {
    let (mut handed_out, mut bytes) = (0, 0);
    let mut mark = connection.gate().most();
    loop {
        let full = connection.gate().used() >= mark;
        if full || handed_out >= BATCH || bytes >= TURN {
            wake_all(wake);
            if full {
                mark = match room(connection, shared).await {
                    Ok(mark) => mark,
                    Err(reason) => return reason,
                };
            }
            if bytes >= TURN {
                tokio::task::yield_now().await;
            }
            (handed_out, bytes) = (0, 0);
        }
        // What came with one read is handed out as a whole: a process that is woken for each message has
        // gone back to sleep before the next.
        let next = {
            let mut next = pin!(receiver.next());
            match poll!(next.as_mut()) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    wake_all(wake);
                    (handed_out, bytes) = (0, 0);
                    mark = connection.gate().most();
                    next.await
                }
            }
        };
        let incoming = match next {
            Ok(incoming) => incoming,
            Err(reason) => return reason,
        };
        let Some(shared) = shared.upgrade() else {
            return CloseReason::Local;
        };
        handed_out += 1;
        bytes += incoming.bytes;
        let handed = AssertUnwindSafe(|| shared.incoming(connection, incoming, wake));
        if let Err(panic) = catch_unwind(handed) {
            let panic = crate::panics::words(&*panic);
            tracing::error!(peer = %connection.peer().name, "taking a message panicked: {panic}");
            return CloseReason::Broken(format!("a fault of this node: {panic}"));
        }
    }
}

fn wake_all(processes: &mut Vec<Arc<Entry>>) {
    for process in processes.drain(..) {
        process.wake.notify_one();
    }
}

/// Waits until the processes have taken enough of what the peer sent, or one waits for something from the peer.
/// The peer waits meanwhile, and the connection with everything on it: so not for ever if nothing at all is taken.
/// Says up to which mark there is room.
async fn room(connection: &Connection, shared: &Weak<Shared>) -> Result<usize, CloseReason> {
    let gate = connection.gate();
    let (mut received, mut since) = (gate.received(), Instant::now());
    loop {
        let patience = {
            let shared = shared.upgrade().ok_or(CloseReason::Local)?;
            if let Some(mark) = gate.mark(|| shared.awaits(connection)) {
                return Ok(mark);
            }
            shared.patience
        };
        let now = gate.received();
        if now != received {
            (received, since) = (now, Instant::now());
        } else if since.elapsed() >= patience {
            return Err(CloseReason::Unreceived {
                bytes: gate.used(),
                after: patience,
            });
        }
        tokio::select! {
            reason = connection.closed() => return Err(reason),
            () = gate.changed() => {}
            () = sleep(LOOK_AGAIN.min(patience)) => {}
        }
    }
}

impl Shared {
    /// Whether something of this node waits for something from the peer.
    fn awaits(&self, connection: &Connection) -> bool {
        let node = connection.node();
        connection.gate().is_awaited()
            || self.related.some(node, ASKED).into_iter().any(|process| {
                let entry = self.registry.by_key(process);
                entry.is_some_and(|it| it.relate(|relations| relations.awaits(node)) == Some(true))
            })
    }
}
