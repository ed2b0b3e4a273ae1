//! Mailboxes: pids of this node to which others can send.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eetf::Pid;
use erl_dist::message::Message;
use tokio::sync::mpsc;

type Senders = Arc<Mutex<HashMap<(u32, u32), mpsc::Sender<Message>>>>;

/// The mailboxes of a node.
#[derive(Debug, Default)]
pub(super) struct Mailboxes(Senders);

impl Mailboxes {
    pub(super) fn open(&self, pid: Pid, capacity: usize) -> Mailbox {
        let (sender, messages) = mpsc::channel(capacity.max(1));
        lock(&self.0).insert((pid.id, pid.serial), sender);
        Mailbox {
            pid,
            messages,
            senders: Arc::clone(&self.0),
        }
    }

    pub(super) fn has(&self, pid: &Pid) -> bool {
        lock(&self.0).contains_key(&(pid.id, pid.serial))
    }

    /// Puts a message into the mailbox of `pid`, if there is one and it has room.
    pub(super) fn deliver(&self, pid: &Pid, message: Message) {
        let sender = lock(&self.0).get(&(pid.id, pid.serial)).cloned();
        let Some(sender) = sender else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(message) {
            tracing::warn!(%pid, "a message is dropped: the mailbox is full");
        }
    }
}

fn lock(senders: &Senders) -> MutexGuard<'_, HashMap<(u32, u32), mpsc::Sender<Message>>> {
    senders.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pid of this node and what others sent to it. Its room is bounded: what comes while it is full is
/// dropped, with a line in the log. It ends when it is dropped.
#[derive(Debug)]
pub struct Mailbox {
    pid: Pid,
    messages: mpsc::Receiver<Message>,
    senders: Senders,
}

impl Mailbox {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        &self.pid
    }

    /// Waits for the next message. Cancel-safe. `None` when the node is gone.
    pub async fn receive(&mut self) -> Option<Message> {
        self.messages.recv().await
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        lock(&self.senders).remove(&(self.pid.id, self.pid.serial));
    }
}
