//! The sending side of a connection.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::outbox::{Outbox, Urgency};
use super::ticker::Traffic;
use super::{Batch, ChannelOptions};
use crate::dist::Flags;
use crate::dist::close::CloseReason;
use crate::dist::control::Control;
use crate::etf::{EncodeError, Term};

/// The shortest and the longest tick time. With less than 4 ms, a quarter of it would be nothing at all; with more than
/// a week, which the peer may say that it has, a dead one would never be noticed.
pub(crate) const TICK_TIMES: (Duration, Duration) =
    (Duration::from_millis(4), Duration::from_secs(7 * 24 * 3600));

/// Sends messages to the peer. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Sender(pub(super) Arc<Shared>);

/// What the two sides of a connection and the task that writes share.
#[derive(Debug)]
pub(super) struct Shared {
    options: ChannelOptions,
    state: Mutex<State>,
    /// Writes without the task that writes, where that is possible.
    now: Option<Arc<dyn WriteNow>>,
    /// Wakes the task that writes: there is something to be written, or the end has come.
    work: Notify,
    /// Wakes those who wait to send.
    drained: Notify,
    /// Set as soon as the connection is to end.
    closing: watch::Sender<Option<CloseReason>>,
    /// Set when everything has been written that was still to be.
    ended: watch::Sender<Option<CloseReason>>,
    is_closing: AtomicBool,
    pub(super) read: AtomicU64,
    pub(super) listening: AtomicBool,
    written: AtomicU64,
    spoke: AtomicBool,
    /// In milliseconds.
    tick_time: AtomicU64,
}

#[derive(Debug)]
struct State {
    outbox: Outbox,
    /// Whether the task that writes waits for work.
    writer_rests: bool,
    /// How many wait to send.
    senders_wait: bool,
    /// How much had been read when something was last sent while that task waited.
    read: u64,
}

/// Writes to a socket what it takes at once.
pub(super) trait WriteNow: fmt::Debug + Send + Sync {
    /// As `Write::write_vectored` on a socket that does not block.
    fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

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
    pub async fn send(&self, control: &Control, payload: Option<&Term>) -> Result<(), SendError> {
        // Whoever has much to say lets the others run too, the task that writes among them.
        tokio::task::coop::consume_budget().await;
        match self.0.push(control, payload, Urgency::Message, false) {
            Err(SendError::Busy) => {}
            result => return result,
        }
        loop {
            // Made before it is tried again, so that no drain in between is missed.
            let drained = self.0.drained.notified();
            match self.0.push(control, payload, Urgency::Message, true) {
                Err(SendError::Busy) => drained.await,
                result => return result,
            }
        }
    }

    /// Sends a message if it need not wait.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn try_send(&self, control: &Control, payload: Option<&Term>) -> Result<(), SendError> {
        self.0.push(control, payload, Urgency::Message, false)
    }

    /// Sends what the node itself has to say and what must neither wait nor be lost: exits, monitors'
    /// messages, acknowledgements. When too much of it waits, the connection ends with
    /// [`CloseReason::Overrun`].
    ///
    /// # Errors
    /// [`SendError::Ended`] or [`SendError::Encode`].
    pub fn signal(&self, control: &Control, payload: Option<&Term>) -> Result<(), SendError> {
        match self.0.push(control, payload, Urgency::Signal, false) {
            Err(SendError::Busy) => {
                let limit = self.0.options.hard_limit;
                self.0.close(CloseReason::Overrun { limit });
                Err(SendError::Ended)
            }
            result => result,
        }
    }

    /// The flags that both sides have.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.0.options.flags
    }

    /// Takes over another `net_ticktime`, from the next look at the traffic on: at least 4 ms, at most a week.
    pub fn set_tick_time(&self, tick_time: Duration) {
        self.0.set_tick_time(tick_time);
    }

    /// Ends the connection: what waits is written first, for at most half a second. The first reason
    /// given is the one that stays. Does not wait.
    pub fn close(&self, reason: CloseReason) {
        self.0.close(reason);
    }

    /// Waits for the end, and says what it was. Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        let mut ended = self.0.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(CloseReason::Local),
            // Cannot be, since its sender is here.
            Err(_) => CloseReason::Local,
        }
    }

    /// Why it has ended or is about to, if it is.
    #[must_use]
    pub fn reason(&self) -> Option<CloseReason> {
        self.0.reason()
    }

    /// Whether it has ended or is about to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closing()
    }

    /// Whether `other` sends over this connection, and not over an earlier or later one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Shared {
    pub(super) fn new(options: ChannelOptions, now: Option<Arc<dyn WriteNow>>) -> Self {
        let shared = Self {
            options,
            state: Mutex::new(State {
                outbox: Outbox::new(&options),
                writer_rests: false,
                senders_wait: false,
                read: u64::MAX,
            }),
            now,
            work: Notify::new(),
            drained: Notify::new(),
            closing: watch::Sender::new(None),
            ended: watch::Sender::new(None),
            is_closing: AtomicBool::new(false),
            read: AtomicU64::new(0),
            listening: AtomicBool::new(false),
            written: AtomicU64::new(0),
            spoke: AtomicBool::new(false),
            tick_time: AtomicU64::new(0),
        };
        shared.set_tick_time(options.tick_time);
        shared
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(
        &self,
        control: &Control,
        payload: Option<&Term>,
        urgency: Urgency,
        will_wait: bool,
    ) -> Result<(), SendError> {
        if self.is_closing() {
            return Err(SendError::Ended);
        }
        let mut state = self.state();
        let result = state.outbox.push(control, payload, urgency);
        if result == Err(SendError::Busy) {
            state.senders_wait |= will_wait;
            return result;
        }
        let rests = std::mem::take(&mut state.writer_rests);
        let wake = rests && !self.write_now(&mut state);
        drop(state);
        self.spoke.store(true, Ordering::Relaxed);
        if wake {
            self.work.notify_one();
        }
        result
    }

    /// Writes a message itself, which the task that writes would have to be woken for. Not the second of several
    /// in a row: these are written together. Whether it is written.
    fn write_now(&self, state: &mut State) -> bool {
        let Some(now) = &self.now else { return false };
        let read = self.read.load(Ordering::Relaxed);
        if std::mem::replace(&mut state.read, read) == read {
            return false;
        }
        state.writer_rests = state.outbox.write_little(|slices| {
            let written = now.write_now(slices)?;
            self.count(written);
            Ok(written)
        });
        state.writer_rests
    }

    /// Counts what has been written.
    pub(super) fn count(&self, written: usize) {
        self.written.fetch_add(written as u64, Ordering::Relaxed);
    }

    /// Fills `batch` with what is to be written next; says whether there is anything.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        use bytes::Buf as _;
        let mut state = self.state();
        state.outbox.take(batch);
        let any = batch.has_remaining();
        state.writer_rests = !any;
        let wake = std::mem::take(&mut state.senders_wait);
        drop(state);
        if wake {
            self.drained.notify_waiters();
        }
        any
    }

    /// Whether anything was sent since this was last asked.
    pub(super) fn spoke(&self) -> bool {
        self.spoke.swap(false, Ordering::Relaxed)
    }

    /// Tells whether the peer reads slowly.
    pub(super) fn set_slow(&self, slow: bool) {
        self.state().outbox.set_slow(slow);
    }

    /// Has a tick written, on a connection that is at rest: room that it does not need is given back.
    pub(super) fn tick(&self) {
        let mut state = self.state();
        state.outbox.shrink();
        state.outbox.tick();
        state.writer_rests = false;
    }

    /// Waits until there may be something to be written, or the connection is to end.
    pub(super) async fn work(&self) {
        self.work.notified().await;
    }

    pub(super) fn traffic(&self, pending: bool) -> Traffic {
        Traffic {
            read: self.read.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            listening: self.listening.load(Ordering::Relaxed),
            pending,
        }
    }

    pub(super) fn tick_time(&self) -> Duration {
        Duration::from_millis(self.tick_time.load(Ordering::Relaxed))
    }

    fn set_tick_time(&self, tick_time: Duration) {
        let millis = tick_time.clamp(TICK_TIMES.0, TICK_TIMES.1).as_millis();
        self.tick_time
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn close(&self, reason: CloseReason) {
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            closing.get_or_insert(reason);
            first
        });
        self.is_closing.store(true, Ordering::Release);
        self.work.notify_one();
        // Whoever waits to send learns that it is too late.
        self.drained.notify_waiters();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    pub(super) fn reason(&self) -> Option<CloseReason> {
        self.closing.borrow().clone()
    }

    pub(super) fn closing(&self) -> watch::Receiver<Option<CloseReason>> {
        self.closing.subscribe()
    }

    /// Tells that nothing more is written, whatever the reason for it.
    pub(super) fn end(&self) {
        self.close(CloseReason::Local);
        self.ended.send_replace(self.reason());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use bytes::Buf as _;
    use proptest::prelude::*;

    use crate::dist::channel::Decoder;
    use crate::dist::channel::tests::feed;
    use crate::etf::{Atom, Pid};

    /// A socket that takes so many bytes each time.
    #[derive(Debug, Default)]
    struct Socket {
        takes: Mutex<Vec<usize>>,
        written: Mutex<Vec<u8>>,
    }

    impl WriteNow for Socket {
        fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let takes = self.takes.lock().unwrap().pop();
            let takes = takes.ok_or(io::ErrorKind::WouldBlock)?.min(all.len());
            self.written.lock().unwrap().extend(&all[..takes]);
            Ok(takes)
        }
    }

    fn shared(takes: Vec<usize>) -> (Shared, Arc<Socket>) {
        let socket = Arc::new(Socket {
            takes: Mutex::new(takes),
            ..Socket::default()
        });
        let options = ChannelOptions {
            flags: Flags::DIST_HDR_ATOM_CACHE | Flags::FRAGMENTS,
            ..ChannelOptions::default()
        };
        let now: Arc<dyn WriteNow> = Arc::<Socket>::clone(&socket);
        (Shared::new(options, Some(now)), socket)
    }

    fn push(shared: &Shared, number: i64) {
        let to = Pid {
            node: Atom::new("n@h"),
            id: 1,
            serial: 0,
            creation: 1,
        };
        let (control, message) = (Control::Send { to }, Term::Int(number));
        shared
            .push(&control, Some(&message), Urgency::Message, false)
            .unwrap();
    }

    /// What the task that writes does when it has its turn.
    fn turn(shared: &Shared, socket: &Socket) {
        let mut batch = Batch::default();
        while shared.take(&mut batch) {
            let mut written = socket.written.lock().unwrap();
            written.extend(batch.copy_to_bytes(batch.remaining()));
        }
    }

    #[test]
    fn the_first_after_something_was_read_is_written_at_once() {
        let (shared, socket) = shared(vec![usize::MAX; 9]);
        let written = || socket.written.lock().unwrap().len();
        push(&shared, 0);
        assert_eq!(written(), 0, "the task that writes has not come up yet");
        turn(&shared, &socket);
        let mut before = written();
        for number in 1..4 {
            shared.read.fetch_add(1, Ordering::Relaxed);
            push(&shared, number);
            let one = written();
            assert!(one > before, "at once");
            push(&shared, 10 + number);
            push(&shared, 20 + number);
            assert_eq!(written(), one, "these go together");
            turn(&shared, &socket);
            before = written();
            assert!(before > one);
        }
    }

    proptest! {
        /// Whoever writes, and however little the socket takes: the peer gets all of it, in order.
        #[test]
        fn the_peer_reads_one_stream(
            takes in prop::collection::vec(0_usize..60, 0..40),
            steps in prop::collection::vec(0..4_u8, 1..200),
        ) {
            let (shared, socket) = shared(takes);
            let mut sent = 0;
            for step in steps {
                match step {
                    0 => turn(&shared, &socket),
                    1 => {
                        shared.read.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => {
                        push(&shared, sent);
                        sent += 1;
                    }
                }
            }
            turn(&shared, &socket);
            let written = socket.written.lock().unwrap();
            let read = feed(&mut Decoder::new(&shared.options), &written, usize::MAX).unwrap();
            let read: Vec<_> = read.into_iter().map(|message| message.payload).collect();
            let all: Vec<_> = (0..sent).map(|number| Some(Term::Int(number))).collect();
            prop_assert_eq!(read, all);
        }
    }
}
