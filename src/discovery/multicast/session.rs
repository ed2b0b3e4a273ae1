//! A multicast provider at work: ties the announcer to the sockets, the clocks and the feed.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rand::RngExt;
use tokio::time::{Instant, sleep_until};

use super::announcer::{Announcer, Now, boot_id};
use super::counters::Counters;
use super::socket::{Plan, Sockets};
use super::trouble::Trouble;
use super::{Multicast, SharedCounters};
use crate::discovery::{Feed, Observation, Signal};
use crate::name::NodeName;

/// How often the interfaces are looked at, and whether something is wrong.
pub(super) const LOOK: Duration = Duration::from_secs(3);
/// How often refused datagrams are logged.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// One run of the provider.
pub(super) struct Session {
    feed: Feed,
    clock: Clock,
    sockets: Sockets,
    announcer: Announcer,
    counters: SharedCounters,
    trouble: Trouble,
    logged: (Counters, Instant),
}

impl Session {
    /// Opens the sockets and makes the first hello.
    pub fn start(provider: Multicast, feed: Feed) -> Self {
        let Multicast {
            key,
            config,
            own,
            counters,
        } = provider;
        let loopback_only = own.as_ref().is_some_and(is_of_loopback);
        let mut sockets = Sockets::new(Plan::native(&config, loopback_only));
        let problem = sockets.scan().problem;
        let clock = Clock::start();
        let now = clock.now();
        let mut rng = rand::rng();
        let boot = boot_id(now, rng.random());
        Self {
            feed,
            sockets,
            announcer: Announcer::new(key, own, config.interval, boot, rng.random(), now),
            clock,
            counters,
            trouble: Trouble::new(problem),
            logged: (Counters::default(), Instant::now()),
        }
    }

    /// Announces and listens until it is to stop, then says goodbye.
    pub async fn run(mut self) {
        let mut look = Instant::now() + LOOK;
        self.tell_trouble().await;
        loop {
            self.carry_out().await;
            let wake = self.announcer.next_wake().map(|at| self.clock.at(at));
            // In this order: a flood of datagrams keeps neither the stop nor an announcement waiting.
            tokio::select! {
                biased;
                signal = self.feed.signal() => match signal {
                    Signal::Stop => break,
                    Signal::Refresh => self.announcer.refresh(self.clock.now()),
                },
                () = until(wake) => self.announcer.handle_wake(self.clock.now()),
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    self.look().await;
                }
                () = self.sockets.readable() => self.read(),
            }
        }
        self.announcer.stop(self.clock.now());
        loop {
            self.carry_out().await;
            let Some(wake) = self.announcer.next_wake() else {
                return;
            };
            sleep_until(self.clock.at(wake)).await;
            self.announcer.handle_wake(self.clock.now());
        }
    }

    /// Takes in what came.
    fn read(&mut self) {
        let now = self.clock.now();
        let announcer = &mut self.announcer;
        self.sockets.read(|source: IpAddr, datagram| {
            announcer.handle_datagram(now, source, datagram);
        });
    }

    /// Sends what is to be sent and tells what was learnt.
    async fn carry_out(&mut self) {
        while let Some(datagram) = self.announcer.poll_transmit() {
            let sent = self.sockets.send(&datagram);
            self.announcer.count_send_errors(sent.failed);
            self.trouble.sent(sent);
        }
        self.counters.set(self.announcer.counters());
        while let Some(observation) = self.announcer.poll_observation() {
            self.feed.tell(observation).await;
        }
    }

    /// Sees whether interfaces came or went, and whether something is wrong.
    async fn look(&mut self) {
        let scan = self.sockets.scan();
        self.trouble.scanned(scan.problem);
        if scan.new_links {
            self.announcer.refresh(self.clock.now());
        }
        self.tell_trouble().await;
        self.log();
    }

    /// Tells what is wrong, when it is news.
    async fn tell_trouble(&mut self) {
        let complaint = || self.announcer.complaint(self.clock.now());
        if let Some(trouble) = self.trouble.news(complaint) {
            self.feed.tell(Observation::Failed(trouble)).await;
        }
    }

    /// Logs that datagrams were refused, not more often than once in a while.
    fn log(&mut self) {
        let now = self.announcer.counters();
        let (before, at) = self.logged;
        let refused = |c: &Counters| c.forged + c.clock + c.malformed + c.full + c.twin;
        let first = refused(&before) == 0;
        if refused(&now) == refused(&before) || (!first && at.elapsed() < LOG_AGAIN) {
            return;
        }
        self.logged = (now, Instant::now());
        tracing::warn!(
            forged = now.forged,
            clock = now.clock,
            malformed = now.malformed,
            full = now.full,
            twin = now.twin,
            "announcements were refused; the counts are since the start"
        );
    }
}

pub(super) async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whether only this host can reach the node.
pub(super) fn is_of_loopback(node: &NodeName) -> bool {
    let host = node.host();
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

/// Reads the clocks; its monotonic time begins when it is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Now {
        Now {
            monotonic: self.0.elapsed(),
            unix: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    pub fn at(self, monotonic: Duration) -> Instant {
        self.0 + monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_announcements_stay_on_the_host() {
        for (name, stays) in [
            ("a@127.0.0.1", true),
            ("a@::1", true),
            ("a@localhost", true),
            ("a@10.0.0.7", false),
            ("a@shop", false),
        ] {
            assert_eq!(is_of_loopback(&name.parse().unwrap()), stays, "{name}");
        }
    }
}
