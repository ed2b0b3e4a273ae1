//! How much a connection may deliver that nobody has received yet.
//!
//! What came over a connection and waits in mailboxes counts against that connection. When it is too much,
//! its reader waits, the peer's socket fills, and the peer holds up whoever sends to us, as it does for a
//! busy BEAM. So a peer that sends faster than it is listened to fills neither the memory nor the way of
//! another peer.
//!
//! A process that waits for something from the peer would wait for ever if that came after what is not read. So
//! while something is waited for, the reader goes on, up to a second and higher mark.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What one connection has delivered and nobody has received.
#[derive(Debug)]
pub(super) struct Gate {
    used: AtomicUsize,
    /// The mark at which the reader waits, unless something is waited for.
    most: usize,
    /// The mark at which it waits whatever is waited for.
    cap: usize,
    /// How many answers of the peer are waited for.
    awaited: AtomicUsize,
    /// How many bytes have been received, in all.
    received: AtomicU64,
    changed: Notify,
}

/// A message's share. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Credit {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Credit {
    /// How many bytes it stands for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Says that an answer of the peer is waited for, for as long as it is not dropped.
#[derive(Debug)]
pub(super) struct Awaited(Arc<Gate>);

impl Gate {
    pub(super) fn new(most: usize, cap: usize) -> Arc<Self> {
        let most = most.max(1);
        Arc::new(Self {
            used: AtomicUsize::new(0),
            most,
            cap: cap.max(most),
            awaited: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    /// Counts a message that is being delivered, however full it is: one that has been read is in memory
    /// anyway. The reader asks [`Gate::mark`] before the next.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Credit {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Credit {
            gate: Arc::clone(self),
            bytes,
        }
    }

    /// An answer of the peer is waited for from now on.
    pub(super) fn await_answer(self: &Arc<Self>) -> Awaited {
        self.awaited.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
        Awaited(Arc::clone(self))
    }

    /// Whether an answer of the peer is waited for.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire) > 0
    }

    /// The mark at which the reader has to ask [`Gate::mark`].
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// How many bytes have been received, in all.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// The mark up to which the reader may read without asking again; `None` if it has to wait.
    pub(super) fn mark(&self, something_is_awaited: impl FnOnce() -> bool) -> Option<usize> {
        let used = self.used();
        if used < self.most {
            Some(self.most)
        } else if used < self.cap && something_is_awaited() {
            Some((used + (self.most / 16).max(1)).min(self.cap))
        } else {
            None
        }
    }

    /// Waits until it may be that there is room. One waits at a time: the reader of the connection.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        let before = self.gate.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.gate
            .received
            .fetch_add(self.bytes as u64, Ordering::AcqRel);
        // Half empty, not just below the mark: who waits is to have something to do when it wakes.
        let half = self.gate.most / 2;
        let after = before - self.bytes;
        let crosses = |mark| before > mark && after <= mark;
        if crosses(half) || crosses(self.gate.cap - half) {
            self.gate.changed.notify_one();
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.awaited.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_gate_opens_when_half_has_been_given_back() {
        let gate = Gate::new(100, 200);
        let nothing = || false;
        let first = gate.take(60);
        assert_eq!(gate.mark(nothing), Some(100));
        let second = gate.take(60);
        assert_eq!(gate.mark(nothing), None);
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.changed().await }
        });
        drop(first);
        drop(second);
        waiting.await.unwrap();
        assert_eq!((gate.mark(nothing), gate.received()), (Some(100), 120));
        // A message larger than the whole passes when nothing else waits.
        let large = gate.take(1000);
        assert_eq!(gate.mark(nothing), None);
        drop(large);
        assert_eq!(gate.mark(nothing), Some(100));
    }

    #[test]
    fn what_is_waited_for_opens_a_full_gate_up_to_its_cap() {
        let gate = Gate::new(160, 200);
        let _full = gate.take(180);
        assert!(!gate.is_awaited());
        let awaited = gate.await_answer();
        assert!(gate.is_awaited());
        assert_eq!(gate.mark(|| gate.is_awaited()), Some(190));
        let more = gate.take(20);
        assert_eq!(gate.mark(|| gate.is_awaited()), None, "that is the cap");
        drop(more);
        drop(awaited);
        assert_eq!(gate.mark(|| gate.is_awaited()), None);
    }
}
