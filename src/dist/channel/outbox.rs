//! What waits for the peer: whose turn it is, and who has to wait. Pure.
//!
//! Messages go out in the order in which they came, but for long ones: of these the first fragment
//! takes its turn, and the others come later, between what others say. Only who sent a long message
//! waits for its end, for the messages of one process must stay in order.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Buf as _;

use super::ChannelOptions;
use super::batch::Batch;
use super::encoder::{Encoder, Rest};
use super::sender::SendError;
use crate::dist::control::{Control, Process};
use crate::etf::Term;

/// How many long messages may be under way at once.
const LANES: usize = 16;
/// How much is written at once, as long as there are long messages.
const ROUND: usize = 256 * 1024;

/// How much counts as little.
const LITTLE: usize = 16 * 1024;
/// A frame of no bytes.
const TICK: [u8; 4] = [0; 4];

/// How a message takes it that much waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It can wait.
    Message,
    /// It cannot.
    Signal,
}

/// What waits for the peer.
#[derive(Debug)]
pub struct Outbox {
    encoder: Encoder,
    next: Batch,
    lanes: VecDeque<Lane>,
    /// How much of `next` are signals.
    signals: usize,
    high_water: usize,
    hard_limit: usize,
}

/// A long message that is under way.
#[derive(Debug)]
struct Lane {
    from: Origin,
    rest: Rest,
}

/// Whose messages stay in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A process, by number and serial.
    Process(u32, u32),
    /// Nobody says which.
    Unknown,
}

impl Origin {
    fn of(control: &Control) -> Self {
        let pid = match control {
            Control::Link { from, .. }
            | Control::Exit { from, .. }
            | Control::Unlink { from, .. }
            | Control::RegSend { from, .. }
            | Control::Exit2 { from, .. }
            | Control::Monitor { from, .. }
            | Control::Demonitor { from, .. }
            | Control::MonitorExit {
                from: Process::Pid(from),
                ..
            }
            | Control::SendSender { from, .. }
            | Control::PayloadExit { from, .. }
            | Control::PayloadExit2 { from, .. }
            | Control::PayloadMonitorExit {
                from: Process::Pid(from),
                ..
            }
            | Control::SpawnRequest { from, .. }
            | Control::AliasSend { from, .. }
            | Control::UnlinkId { from, .. }
            | Control::UnlinkIdAck { from, .. } => from,
            _ => return Self::Unknown,
        };
        Self::Process(pid.id, pid.serial)
    }

    /// Whether what comes from the one has to stay behind what came from the other.
    fn meets(self, other: Self) -> bool {
        self == other || self == Self::Unknown || other == Self::Unknown
    }
}

impl Outbox {
    /// An outbox for a connection that nothing has been sent over yet.
    #[must_use]
    pub fn new(options: &ChannelOptions) -> Self {
        Self {
            encoder: Encoder::new(options),
            next: Batch::default(),
            lanes: VecDeque::new(),
            signals: 0,
            // Something has to pass.
            high_water: options.high_water.max(1),
            hard_limit: options.hard_limit,
        }
    }

    /// Puts a message in.
    ///
    /// # Errors
    /// [`SendError::Busy`] if too much waits: for a signal this is the end of the connection.
    /// [`SendError::Encode`] if the message cannot be written; then nothing of it has been put in.
    pub fn push(
        &mut self,
        control: &Control,
        payload: Option<&Term>,
        urgency: Urgency,
    ) -> Result<(), SendError> {
        let room = match urgency {
            Urgency::Message => self.waiting() < self.high_water,
            // One long message before it is no reason to give up the peer.
            Urgency::Signal => self.signals < self.hard_limit,
        };
        if !room {
            return Err(SendError::Busy);
        }
        // Hardly ever is a long message under way, and then nobody has to be looked for.
        if !self.lanes.is_empty() {
            self.stay_behind(Origin::of(control), urgency)?;
        }
        let before = self.waiting();
        if let Some(rest) = self.encoder.encode(control, payload, &mut self.next)? {
            let from = Origin::of(control);
            self.lanes.push_back(Lane { from, rest });
        }
        if urgency == Urgency::Signal {
            self.signals += self.waiting() - before;
        }
        Ok(())
    }

    /// Makes sure that nothing of `from` overtakes a long message of it.
    fn stay_behind(&mut self, from: Origin, urgency: Urgency) -> Result<(), SendError> {
        let meets = self.lanes.iter().any(|lane| lane.from.meets(from));
        match urgency {
            Urgency::Message if meets || self.lanes.len() >= LANES => Err(SendError::Busy),
            Urgency::Signal if meets => {
                let next = &mut self.next;
                self.lanes.retain_mut(|lane| {
                    if !lane.from.meets(from) {
                        return true;
                    }
                    while !lane.rest.is_done() {
                        lane.rest.next_fragment(next);
                    }
                    false
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// How many bytes wait, long messages that are under way aside: of these there are few.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.next.remaining()
    }

    /// Fills `batch`, which has been written whole, with what is to be written next; it stays empty if
    /// there is nothing.
    pub fn take(&mut self, batch: &mut Batch) {
        batch.clear();
        std::mem::swap(batch, &mut self.next);
        self.signals = 0;
        while batch.remaining() < ROUND
            && let Some(mut lane) = self.lanes.pop_front()
        {
            lane.rest.next_fragment(batch);
            if !lane.rest.is_done() {
                self.lanes.push_back(lane);
            }
        }
    }

    /// Puts in a frame that says no more than that this node lives.
    pub(super) fn tick(&mut self) {
        self.next.copy(&TICK);
    }

    /// Has `write` write what there is, if that is little; `write` says how much it wrote. What it left is
    /// still to be taken. Whether nothing is left.
    pub(super) fn write_little(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> bool {
        if !self.lanes.is_empty() || self.next.remaining() > LITTLE {
            return false;
        }
        let mut slices = [IoSlice::new(&[]); 8];
        let count = self.next.chunks_vectored(&mut slices);
        // Whoever takes the rest comes to know of what went wrong.
        let written = write(&slices[..count]).unwrap_or_default();
        self.next.advance(written);
        let done = !self.next.has_remaining();
        if done {
            self.next.clear();
            self.signals = 0;
        }
        done
    }

    /// Tells whether the peer reads slowly: then messages are divided into fragments already from 64 KiB
    /// on, else from 2 MiB on.
    pub fn set_slow(&mut self, slow: bool) {
        self.encoder.set_slow(slow);
    }

    /// Gives back room that a connection at rest does not need.
    pub fn shrink(&mut self) {
        self.next.shrink();
        self.encoder.shrink();
    }
}
