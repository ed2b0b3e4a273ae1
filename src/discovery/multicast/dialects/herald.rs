//! When to announce in a dialect, whom to believe and for how long: a state machine without socket or clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::counters::DialectCounters;
use super::{Codec, Dialect, Refused};
use crate::cluster::Accept;
use crate::discovery::Observation;
use crate::discovery::multicast::announcer::Now;
use crate::name::NodeName;

/// The most nodes that are remembered of an authenticated dialect.
const MAX_KNOWN: usize = 20_000;
/// New names that are taken in at once where nothing authenticates them, and how long until one more is.
/// A name that is tried costs the BEAM an atom, and there are a million: at this rate for four months.
const UNPROVEN_NAMES: f64 = 2000.0;
const UNPROVEN_EVERY: Duration = Duration::from_secs(10);
/// For how long what went wrong is worth a complaint.
const RECENT: Duration = Duration::from_secs(30);
/// Being alone for this long is worth one.
const ALONE: Duration = Duration::from_secs(2);

/// A node that was heard.
#[derive(Debug, Clone, Copy)]
struct Known {
    expires: Duration,
    /// Until when it was last said to live to whoever listens to us.
    told_until: Duration,
}

/// A node's part in a group that speaks one of the dialects.
#[derive(Debug)]
pub struct Herald {
    codec: Codec,
    own: Option<NodeName>,
    accept: Accept,
    interval: (Duration, Duration),
    ttl: Duration,
    known: HashMap<NodeName, Known>,
    /// Nothing expires before.
    next_sweep: Option<Duration>,
    /// How many new names may be taken in now, and when that was; `None` where they are authenticated.
    unproven: Option<(f64, Duration)>,
    started: Duration,
    next_send: Option<Duration>,
    hurried: u8,
    last_refresh: Option<Duration>,
    forged: Option<Duration>,
    clock: Option<Duration>,
    rng: StdRng,
    counters: DialectCounters,
    transmits: VecDeque<Vec<u8>>,
    observations: VecDeque<Observation>,
}

impl Herald {
    /// Makes the herald of `own`, or of one that only listens. The first announcement is ready at once.
    #[must_use]
    pub fn new(
        dialect: &Dialect,
        codec: Codec,
        own: Option<NodeName>,
        accept: Accept,
        seed: u64,
        now: Now,
    ) -> Self {
        let unproven = (!codec.is_authenticated()).then_some((UNPROVEN_NAMES, now.monotonic));
        let mut herald = Self {
            codec,
            next_send: own.is_some().then_some(now.monotonic),
            own,
            accept,
            interval: dialect.interval(),
            ttl: dialect.ttl(),
            known: HashMap::new(),
            next_sweep: None,
            unproven,
            started: now.monotonic,
            hurried: 2,
            last_refresh: None,
            forged: None,
            clock: None,
            rng: StdRng::seed_from_u64(seed),
            counters: DialectCounters::default(),
            transmits: VecDeque::new(),
            observations: VecDeque::new(),
        };
        herald.handle_wake(now);
        herald
    }

    /// The next datagram to send, to every group on every interface.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next thing learnt.
    pub fn poll_observation(&mut self) -> Option<Observation> {
        self.observations.pop_front()
    }

    /// When to call [`Herald::handle_wake`] if nothing else happens.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        self.next_send.into_iter().chain(self.next_sweep).min()
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub fn counters(&self) -> DialectCounters {
        self.counters
    }

    /// Counts copies of announcements that the system did not send.
    pub fn count_send_errors(&mut self, copies: u64) {
        self.counters.send_errors += copies;
    }

    /// Announces at once; at most twice a second. The others cannot be asked who is there.
    pub fn refresh(&mut self, now: Now) {
        let recent = |at: Duration| now.monotonic.saturating_sub(at) < Duration::from_millis(500);
        if self.own.is_none() || self.last_refresh.is_some_and(recent) {
            return;
        }
        self.last_refresh = Some(now.monotonic);
        self.next_send = Some(now.monotonic);
        self.handle_wake(now);
    }

    /// Does what its time has come for.
    pub fn handle_wake(&mut self, now: Now) {
        if self.next_sweep.is_some_and(|at| at <= now.monotonic) {
            // Whoever listens to us counts the time too, and needs no word of it.
            self.known.retain(|_, known| known.expires > now.monotonic);
            self.next_sweep = self.known.values().map(|known| known.expires).min();
        }
        if self.next_send.is_some_and(|at| at <= now.monotonic) {
            self.send(now);
        }
    }

    fn send(&mut self, now: Now) {
        let Some(own) = &self.own else {
            self.next_send = None;
            return;
        };
        self.counters.sent += 1;
        let datagram = self.codec.encode(own, now.unix, self.rng.random());
        self.transmits.push_back(datagram);
        // Two more soon after the first, in case it is lost or another has not opened its socket yet.
        let (least, most) = match self.hurried {
            2 => (Duration::from_millis(50), Duration::from_millis(100)),
            1 => (Duration::from_millis(150), Duration::from_millis(300)),
            _ => self.interval,
        };
        self.hurried = self.hurried.saturating_sub(1);
        self.next_send = Some(now.monotonic + self.rng.random_range(least..most));
    }

    /// Takes a datagram in.
    pub fn handle_datagram(&mut self, now: Now, datagram: &[u8]) {
        let heard = match self.codec.decode(now.unix, datagram) {
            Ok(heard) => heard,
            Err(refused) => return self.count_refused(now, refused),
        };
        if self.own.as_ref() == Some(&heard.node) {
            self.counters.own += 1;
            return;
        }
        if !self.accept.accepts(&heard.node) {
            self.counters.not_accepted += 1;
            return;
        }
        // What was sent a while ago holds for less: a replay makes nobody live longer.
        let expires = now.monotonic + self.ttl.saturating_sub(heard.age);
        let lives = self
            .known
            .get(&heard.node)
            .filter(|known| known.expires > now.monotonic)
            .copied();
        if lives.is_none() && !self.has_room(now) {
            return;
        }
        self.counters.heard += 1;
        let mut known = lives.unwrap_or(Known {
            expires,
            told_until: Duration::ZERO,
        });
        known.expires = known.expires.max(expires);
        if known.expires.saturating_sub(known.told_until) >= self.ttl / 4 {
            known.told_until = known.expires;
            let ttl = known.expires.saturating_sub(now.monotonic);
            self.observations
                .push_back(Observation::Seen(heard.node.clone(), ttl));
        }
        self.next_sweep = Some(
            self.next_sweep
                .map_or(known.expires, |at| at.min(known.expires)),
        );
        self.known.insert(heard.node, known);
    }

    /// Whether one more name may be taken in; counts it if not.
    fn has_room(&mut self, now: Now) -> bool {
        if self.known.len() >= MAX_KNOWN {
            self.counters.full += 1;
            return false;
        }
        let Some((names, at)) = &mut self.unproven else {
            return true;
        };
        let passed = now.monotonic.saturating_sub(*at).as_secs_f64();
        *names = (*names + passed / UNPROVEN_EVERY.as_secs_f64()).min(UNPROVEN_NAMES);
        *at = now.monotonic;
        if *names < 1.0 {
            self.counters.rate_limited += 1;
            return false;
        }
        *names -= 1.0;
        true
    }

    fn count_refused(&mut self, now: Now, refused: Refused) {
        let counter = match refused {
            Refused::Oversized => &mut self.counters.oversized,
            Refused::Foreign => &mut self.counters.foreign,
            Refused::Forged => {
                self.forged = Some(now.monotonic);
                &mut self.counters.forged
            }
            Refused::Clock => {
                self.clock = Some(now.monotonic);
                &mut self.counters.clock
            }
            Refused::Malformed => &mut self.counters.malformed,
            Refused::Hidden => &mut self.counters.hidden,
        };
        *counter += 1;
    }

    /// What is wrong if this node has been alone for a while though there are signs of others: the cause and
    /// the remedy, for people.
    #[must_use]
    pub fn complaint(&self, now: Now) -> Option<String> {
        let recent = |at: Duration| now.monotonic.saturating_sub(at) < RECENT;
        if !self.known.is_empty() || now.monotonic.saturating_sub(self.started) < ALONE {
            return None;
        }
        let secret = match &self.codec {
            Codec::Libcluster(_) => "secret: set libcluster_secret to that of the other nodes",
            _ => "cookie: give all nodes the same",
        };
        if self.forged.is_some_and(recent) {
            return Some(format!(
                "announcements come that are forged or made with another {secret}"
            ));
        }
        if self.clock.is_some_and(recent) {
            return Some(
                "announcements come whose time is more than 300 s from this host's clock: set the clocks (NTP)"
                    .to_owned(),
            );
        }
        (self.counters.own == 0 && self.counters.sent > 0 && self.counters.heard == 0).then(|| {
            "our own announcements do not come back to us: a firewall, or a network without multicast, drops \
             them; allow the UDP port, choose another `interface`, or use another provider"
                .to_owned()
        })
    }
}
