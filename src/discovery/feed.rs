//! The wire between a provider and whoever runs it.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::cluster::ProviderId;
use crate::name::NodeName;

/// What a provider learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A complete answer.
    Snapshot(Vec<NodeName>),
    /// A lookup failed: the cause and the remedy, for people.
    Failed(String),
    /// An announcement that holds for a time.
    Seen(NodeName, Duration),
    /// The first announcement of a node that has just started, a boot id that was not heard before: as
    /// `Seen`, and the engine forgets its backoff for the node.
    Started(NodeName, Duration),
    /// A goodbye.
    Gone(NodeName),
    /// The ports on which nodes listen, as far as the source knows them, in place of what the provider said
    /// of ports before. It says nothing about who is there.
    Ports(Vec<(NodeName, u16)>),
    /// Something that the user should know once, although nothing failed: a sentence.
    Notice(String),
}

/// An observation and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Who.
    pub provider: ProviderId,
    /// What.
    pub observation: Observation,
}

/// What a provider is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Look now, whatever the pace.
    Refresh,
    /// Say goodbye and return.
    Stop,
}

#[derive(Debug, Clone, Copy, Default)]
struct Wishes {
    refreshes: u64,
    stop: bool,
}

/// Tells one or more feeds to look now or to stop.
#[derive(Debug)]
pub struct SignalSender(watch::Sender<Wishes>);

impl SignalSender {
    /// Makes a sender to which [`feed`] ties feeds.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(Wishes::default()))
    }

    /// Tells every feed's provider to look now.
    pub fn refresh(&self) {
        self.0.send_modify(|wishes| wishes.refreshes += 1);
    }

    /// Tells every feed's provider to stop. Dropping the sender does the same.
    pub fn stop(&self) {
        self.0.send_modify(|wishes| wishes.stop = true);
    }
}

impl Default for SignalSender {
    fn default() -> Self {
        Self::new()
    }
}

/// A provider's end of the wire.
#[derive(Debug)]
pub struct Feed {
    provider: ProviderId,
    observations: mpsc::Sender<Observed>,
    wishes: watch::Receiver<Wishes>,
    refreshes_done: u64,
}

/// Makes a feed that reports to `observations` and listens to `signals`.
#[must_use]
pub fn feed(
    provider: ProviderId,
    observations: mpsc::Sender<Observed>,
    signals: &SignalSender,
) -> Feed {
    let wishes = signals.0.subscribe();
    let refreshes_done = wishes.borrow().refreshes;
    Feed {
        provider,
        observations,
        wishes,
        refreshes_done,
    }
}

impl Feed {
    /// Reports what was learnt. Waits while the reader is behind; nothing is lost. Once nobody reads
    /// any more it does nothing: [`Feed::signal`] then says [`Signal::Stop`].
    pub async fn tell(&self, observation: Observation) {
        let observed = Observed {
            provider: self.provider,
            observation,
        };
        // An error means that the reader is gone, and with it the reason to report.
        let _ = self.observations.send(observed).await;
    }

    /// Waits for the next signal. Cancel-safe; after [`Signal::Stop`] it says so at every call.
    pub async fn signal(&mut self) -> Signal {
        loop {
            let wishes = *self.wishes.borrow_and_update();
            if wishes.stop || self.observations.is_closed() {
                return Signal::Stop;
            }
            if wishes.refreshes > self.refreshes_done {
                // Several wishes to look now are one look.
                self.refreshes_done = wishes.refreshes;
                return Signal::Refresh;
            }
            tokio::select! {
                changed = self.wishes.changed() => if changed.is_err() { return Signal::Stop },
                () = self.observations.closed() => return Signal::Stop,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wired() -> (Feed, mpsc::Receiver<Observed>, SignalSender) {
        let (sender, receiver) = mpsc::channel(4);
        let signals = SignalSender::new();
        let feed = feed(ProviderId::new(0).unwrap(), sender, &signals);
        (feed, receiver, signals)
    }

    #[tokio::test]
    async fn refreshes_fold_into_one_and_stop_stays() {
        let (mut feed, _receiver, signals) = wired();
        signals.refresh();
        signals.refresh();
        assert_eq!(feed.signal().await, Signal::Refresh);
        signals.stop();
        assert_eq!(feed.signal().await, Signal::Stop);
        assert_eq!(feed.signal().await, Signal::Stop);
    }

    #[tokio::test]
    async fn a_reader_or_sender_that_went_away_means_stop() {
        let (mut feed, receiver, _signals) = wired();
        drop(receiver);
        assert_eq!(feed.signal().await, Signal::Stop);
        feed.tell(Observation::Failed("nobody hears".into())).await;

        let (mut feed, _receiver, signals) = wired();
        drop(signals);
        assert_eq!(feed.signal().await, Signal::Stop);
    }
}
