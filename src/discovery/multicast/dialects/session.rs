//! A provider of a dialect at work: ties the herald to the sockets, the clocks and the feed.

use rand::RngExt;
use tokio::time::{Instant, sleep_until};

use super::{Announcements, Herald, SharedDialectCounters};
use crate::discovery::multicast::session::{Clock, LOOK, is_of_loopback, until};
use crate::discovery::multicast::socket::{Plan, Sockets};
use crate::discovery::multicast::trouble::Trouble;
use crate::discovery::{Feed, Observation, Signal};

/// One run of the provider.
pub(super) struct Session {
    feed: Feed,
    clock: Clock,
    sockets: Sockets,
    herald: Herald,
    counters: SharedDialectCounters,
    trouble: Trouble,
}

impl Session {
    /// Opens the sockets and makes the first announcement.
    pub fn start(provider: Announcements, feed: Feed) -> Self {
        let Announcements {
            config,
            codec,
            own,
            counters,
        } = provider;
        let mut sockets = Sockets::new(Plan {
            groups: config.groups.clone(),
            broadcast: config.is_broadcast(),
            ttl: config.ttl,
            choices: config.interface.clone(),
            loopback_only: own.as_ref().is_some_and(is_of_loopback),
            option: config.dialect.group_option(),
        });
        let problem = sockets.scan().problem;
        let clock = Clock::start();
        let herald = Herald::new(
            &config.dialect,
            codec,
            own,
            config.accept,
            rand::rng().random(),
            clock.now(),
        );
        Self {
            feed,
            clock,
            sockets,
            herald,
            counters,
            trouble: Trouble::new(problem),
        }
    }

    /// Announces and listens until it is to stop. None of the dialects has a goodbye.
    pub async fn run(mut self) {
        let mut look = Instant::now() + LOOK;
        self.tell_trouble().await;
        loop {
            self.carry_out().await;
            let wake = self.herald.next_wake().map(|at| self.clock.at(at));
            // In this order: a flood of datagrams keeps neither the stop nor an announcement waiting.
            tokio::select! {
                biased;
                signal = self.feed.signal() => match signal {
                    Signal::Stop => return,
                    Signal::Refresh => self.herald.refresh(self.clock.now()),
                },
                () = until(wake) => self.herald.handle_wake(self.clock.now()),
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    let scan = self.sockets.scan();
                    self.trouble.scanned(scan.problem);
                    if scan.new_links {
                        self.herald.refresh(self.clock.now());
                    }
                    self.tell_trouble().await;
                }
                () = self.sockets.readable() => {
                    let now = self.clock.now();
                    let herald = &mut self.herald;
                    self.sockets.read(|_, datagram| herald.handle_datagram(now, datagram));
                }
            }
        }
    }

    /// Sends what is to be sent and tells what was learnt.
    async fn carry_out(&mut self) {
        while let Some(datagram) = self.herald.poll_transmit() {
            let sent = self.sockets.send(&datagram);
            self.herald.count_send_errors(sent.failed);
            self.trouble.sent(sent);
        }
        self.counters.set(self.herald.counters());
        while let Some(observation) = self.herald.poll_observation() {
            self.feed.tell(observation).await;
        }
    }

    /// Tells what is wrong, when it is news.
    async fn tell_trouble(&mut self) {
        let complaint = || self.herald.complaint(self.clock.now());
        if let Some(trouble) = self.trouble.news(complaint) {
            self.feed.tell(Observation::Failed(trouble)).await;
        }
    }
}
