//! How much a connection may deliver that nobody has received yet.
//!
//! What came over a connection and waits in mailboxes counts against that connection. When it is too much,
//! its reader waits, the peer's socket fills, and the peer holds up whoever sends to us, as it does for a
//! busy BEAM. So a peer that sends faster than it is listened to fills neither the memory nor the way of
//! another peer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What one connection has delivered and nobody has received.
#[derive(Debug)]
pub(super) struct Gate {
    used: AtomicUsize,
    most: usize,
    room: Notify,
}

/// A message's share. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Credit {
    gate: Arc<Gate>,
    bytes: usize,
}

impl Gate {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            most: most.max(1),
            room: Notify::new(),
        })
    }

    /// Counts a message that is being delivered, however full it is: one that has been read is in memory
    /// anyway. [`Gate::room`] comes before the next.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Credit {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Credit {
            gate: Arc::clone(self),
            bytes,
        }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    pub(super) fn is_full(&self) -> bool {
        self.used() >= self.most
    }

    /// Waits until there is room. One waits at a time: the reader of the connection.
    pub(super) async fn room(&self) {
        while self.is_full() {
            self.room.notified().await;
        }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        let before = self.gate.used.fetch_sub(self.bytes, Ordering::AcqRel);
        // Half empty, not just below the mark: who waits is to have something to do when it wakes.
        let half = self.gate.most / 2;
        let after = before - self.bytes;
        if before > half && after <= half {
            self.gate.room.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_full_gate_opens_when_half_has_been_given_back() {
        let gate = Gate::new(100);
        let first = gate.take(60);
        gate.room().await;
        let second = gate.take(60);
        assert!(gate.is_full());
        let waits = timeout(Duration::from_millis(20), gate.room()).await;
        assert!(waits.is_err(), "it is full");
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.room().await }
        });
        drop(first);
        drop(second);
        waiting.await.unwrap();
        // A message larger than the whole passes when nothing else waits.
        let large = gate.take(1000);
        assert!(gate.is_full());
        drop(large);
        gate.room().await;
    }
}
