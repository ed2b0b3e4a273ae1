//! When to announce, whom to answer and whom to believe: a state machine without socket or clock.
//!
//! ```text
//! start          hello, hello, hello; then an announcement every interval
//! stranger heard an answer after a few milliseconds, unless others answered for us meanwhile
//! stop           goodbye, goodbye, goodbye
//! ```
//!
//! Every announcement also names other nodes, as many as fit a datagram: those that were named the
//! longest ago. So the names of the whole group go round all the time, a node whose announcement was
//! lost is heard of from others, and one datagram of anyone tells a late joiner of a small group
//! everybody.
//!
//! **How many answer.** Each node that hears a stranger waits a random time, evenly spread over 2 ms for
//! each member of the group: so the first answer comes after some 2 ms and one follows every 2 ms,
//! however large the group. An answer names members that nobody has named since the stranger asked; when
//! none is left, whoever still waits has nothing to say. Beyond a burst of 40, answers share a small
//! budget, kept by everyone from what they hear.
//!
//! **How much is sent.** The interval of each node is 0.15 s for every member of the group, at least the
//! configured one: about 7 announcements a second in the whole group, and 2.5 answers, whatever its size.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::codec::{self, Announcement, DecodeError, Draft, Header, Key, Kind, Mention};
use super::counters::Counters;
use super::members::{Freshness, Life, MAX_SKEW, Member, Members};
use crate::discovery::Observation;
use crate::name::NodeName;

/// The time that one more member adds to everyone's interval.
const PACE: Duration = Duration::from_millis(150);
/// The mean time between two answers to the same stranger.
const ANSWER_SPACING: Duration = Duration::from_millis(2);
/// For how long a stranger is answered.
const ANSWER_FOR: Duration = Duration::from_secs(10);
/// Answers that the group sends in a row, and how many a second after that.
const ANSWER_BURST: f64 = 40.0;
const ANSWERS_PER_SECOND: f64 = 2.5;
/// How much sooner than the sender a receiver takes a named node to expire. It is more than a datagram
/// needs, so that a dead node cannot live on by being named from one to the other.
const HANDED_ON: Duration = Duration::from_secs(1);
/// The most nodes that can be named in one datagram; their number is bounded by its size long before.
const PAGE: usize = 80;
/// An announcement holds at least and at most this long.
const TTL_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));
/// For how long what went wrong is worth a complaint.
const RECENT: Duration = Duration::from_secs(30);
/// Being alone for this long is worth one.
const ALONE: Duration = Duration::from_secs(2);

/// The time, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed moment; never goes back. All deadlines are in this.
    pub monotonic: Duration,
    /// Since 1970-01-01 UTC, as announcements carry it. May jump.
    pub unix: Duration,
}

/// Which start of a node this is: later starts have greater numbers, and two at the same millisecond
/// most likely differ.
#[must_use]
pub fn boot_id(started: Now, random: u16) -> u64 {
    let millis = u64::try_from(started.unix.as_millis()).unwrap_or(u64::MAX);
    (millis << 16) | u64::from(random)
}

/// A node's part in the group.
#[derive(Debug)]
pub struct Announcer {
    key: Key,
    own: Option<NodeName>,
    boot: u64,
    sequence: u64,
    base: Duration,
    rng: StdRng,
    started: Now,
    members: Members,
    /// Counts what is heard and sent: `Member::named` and `Answering::since` are in this.
    order: u64,
    /// When this node was last named in the group.
    own_named: u64,
    hellos_left: u8,
    goodbyes_left: u8,
    stopping: bool,
    next_send: Option<Duration>,
    answering: Option<Answering>,
    answers: Bucket,
    last_refresh: Option<Duration>,
    trouble: Trouble,
    counters: Counters,
    transmits: VecDeque<Vec<u8>>,
    observations: VecDeque<Observation>,
}

/// An answer that is being waited with.
#[derive(Debug, Clone, Copy)]
struct Answering {
    /// Who was named after this need not be named again.
    since: u64,
    at: Duration,
    until: Duration,
}

/// What went wrong last, and when.
#[derive(Debug, Default)]
struct Trouble {
    forged: Option<(Duration, IpAddr)>,
    version: Option<(Duration, IpAddr, u8)>,
    clock: Option<(Duration, String, Duration, bool)>,
    twin: Option<(Duration, IpAddr)>,
    /// When the number of the boot was last raised.
    raised: Option<Duration>,
}

impl Announcer {
    /// Makes the announcer of `own`, or of one that only looks. Its first hello is ready at once.
    ///
    /// `interval` is the time between two announcements in a small group. `boot` has to be greater than
    /// that of every earlier start of the node: see [`boot_id`].
    #[must_use]
    pub fn new(
        key: Key,
        own: Option<NodeName>,
        interval: Duration,
        boot: u64,
        seed: u64,
        now: Now,
    ) -> Self {
        Self {
            key,
            own,
            boot,
            sequence: 0,
            base: interval,
            rng: StdRng::seed_from_u64(seed),
            started: now,
            members: Members::default(),
            order: 1,
            own_named: 0,
            hellos_left: 3,
            goodbyes_left: 0,
            stopping: false,
            next_send: Some(now.monotonic),
            answering: None,
            answers: Bucket::new(now.monotonic),
            last_refresh: None,
            trouble: Trouble::default(),
            counters: Counters::default(),
            transmits: VecDeque::new(),
            observations: VecDeque::new(),
        }
        .woken(now)
    }

    fn woken(mut self, now: Now) -> Self {
        self.handle_wake(now);
        self
    }

    /// The next datagram to send, to every group on every interface.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next thing learnt.
    pub fn poll_observation(&mut self) -> Option<Observation> {
        self.observations.pop_front()
    }

    /// When to call [`Announcer::handle_wake`] if nothing else happens; `None` once the last goodbye is
    /// out.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        if self.stopping {
            return self.next_send;
        }
        [
            self.next_send,
            self.answering.map(|answering| answering.at),
            self.members.next_sweep(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Counts copies of announcements that the system did not send.
    pub fn count_send_errors(&mut self, copies: u64) {
        self.counters.send_errors += copies;
    }

    /// How many other nodes live.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.members.alive()
    }

    /// Does what its time has come for.
    pub fn handle_wake(&mut self, now: Now) {
        self.members.sweep(now.monotonic);
        if self.next_send.is_some_and(|at| at <= now.monotonic) {
            self.send_scheduled(now);
        }
        if !self.stopping
            && let Some(answering) = self.answering.filter(|a| a.at <= now.monotonic)
        {
            self.answer(now, answering);
        }
    }

    /// Asks the group who is there, at once; at most twice a second.
    pub fn refresh(&mut self, now: Now) {
        let recent = |at: Duration| now.monotonic.saturating_sub(at) < Duration::from_millis(500);
        if self.stopping || self.last_refresh.is_some_and(recent) {
            return;
        }
        self.last_refresh = Some(now.monotonic);
        self.hellos_left = self.hellos_left.max(1);
        self.next_send = Some(now.monotonic);
        self.handle_wake(now);
    }

    /// Says goodbye, thrice. Done when [`Announcer::next_wake`] is `None`.
    pub fn stop(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.answering = None;
        self.next_send = self.own.is_some().then_some(now.monotonic);
        self.goodbyes_left = 3;
        self.handle_wake(now);
    }

    /// Takes a datagram in.
    pub fn handle_datagram(&mut self, now: Now, source: IpAddr, datagram: &[u8]) {
        // Loopback brings back every datagram we send. Whoever forges one gets it ignored for even less
        // than a hash.
        let name = self.own.as_ref().map_or("", NodeName::as_str);
        if codec::peek_sender(datagram) == Some((self.boot, name.as_bytes())) {
            self.counters.own += 1;
            return;
        }
        match codec::decode(&self.key, datagram) {
            Ok(announcement) => self.handle_announcement(now, source, &announcement),
            Err(error) => self.count_refused(now, source, error),
        }
    }

    fn count_refused(&mut self, now: Now, source: IpAddr, error: DecodeError) {
        let counter = match error {
            DecodeError::Truncated => &mut self.counters.truncated,
            DecodeError::Oversized => &mut self.counters.oversized,
            DecodeError::Foreign => &mut self.counters.foreign,
            DecodeError::Version(version) => {
                self.trouble.version = Some((now.monotonic, source, version));
                &mut self.counters.version
            }
            DecodeError::OtherCluster => &mut self.counters.other_cluster,
            DecodeError::Forged => {
                self.trouble.forged = Some((now.monotonic, source));
                &mut self.counters.forged
            }
            DecodeError::Malformed => &mut self.counters.malformed,
        };
        *counter += 1;
    }

    /// Takes an authentic announcement in.
    pub fn handle_announcement(
        &mut self,
        now: Now,
        source: IpAddr,
        announcement: &Announcement<'_>,
    ) {
        let header = &announcement.header;
        if self.stopping {
            return;
        }
        if header.name.is_empty() {
            // One that only looks: nothing is remembered of it, so only the time tells a replay, and the
            // budget of answers bounds what one can cause.
            if self.in_time(now, header) {
                self.counters.heard += 1;
                self.order += 1;
                self.consider_answer(now, header.known, self.members.alive() + 1);
            }
            return;
        }
        if self
            .own
            .as_ref()
            .is_some_and(|own| own.as_str() == header.name)
        {
            self.handle_own_name(now, source, header);
            return;
        }
        let freshness =
            self.members
                .freshness(now.monotonic, header.name, header.boot, header.sequence);
        match freshness {
            Freshness::Next => {}
            Freshness::Unproven | Freshness::Restarted => {
                if !self.in_time(now, header) {
                    return;
                }
            }
            Freshness::Copy => {
                self.counters.duplicate += 1;
                return;
            }
            Freshness::Replayed => {
                self.counters.replayed += 1;
                return;
            }
            Freshness::OldBoot => {
                self.counters.replayed += 1;
                self.tell_of_later_boot(now, header);
                return;
            }
        }
        self.take_in(now, announcement, freshness);
    }

    /// Takes in an announcement that is known to be fresh.
    fn take_in(&mut self, now: Now, announcement: &Announcement<'_>, freshness: Freshness) {
        let header = &announcement.header;
        let Ok(node) = NodeName::from_bytes(header.name.as_bytes()) else {
            self.counters.malformed += 1;
            return;
        };
        self.counters.heard += 1;
        self.order += 1;
        if header.kind == Kind::Answer {
            self.answers.take(now.monotonic);
        }
        if header.kind == Kind::Goodbye {
            self.goodbye(now, &node, header.boot, Some(header.sequence));
            return;
        }
        let ttl = header.ttl.clamp(TTL_BOUNDS.0, TTL_BOUNDS.1);
        let was_alive = self
            .members
            .get_mut(node.as_str())
            .is_some_and(|m| m.is_alive());
        let stranger = freshness == Freshness::Restarted || !was_alive;
        let heard = (header.sequence, now.monotonic);
        let order = self.order;
        match self.members.live(&node, header.boot, now.monotonic + ttl) {
            Some(member) => {
                member.heard = Some(heard);
                member.named = order;
            }
            None => self.counters.full += 1,
        }
        self.tell(now, &node, stranger);
        self.take_in_mentions(now, announcement);
        if stranger || header.kind == Kind::Hello {
            self.consider_answer(now, header.known, self.members.alive());
        }
    }

    /// Takes in what one node says of others.
    fn take_in_mentions(&mut self, now: Now, announcement: &Announcement<'_>) {
        for mention in announcement.mentions {
            if let Some(own) = self.own.as_ref().filter(|own| own.as_str() == mention.name) {
                let own = own.clone();
                self.handle_own_mention(now, &own, &mention);
                continue;
            }
            let remaining = mention.remaining.min(TTL_BOUNDS.1);
            let known = self.members.get_mut(mention.name).map(|member| {
                member.named = self.order;
                let left = member.life == Life::Left;
                let outdated = mention.boot < member.boot || (mention.boot == member.boot && left);
                // Whoever holds that should hear what we know.
                member.contradicted |= outdated && !remaining.is_zero();
                // By far the most common: it lives, and we have heard as much.
                let expires = now.monotonic + remaining;
                let nothing_new = member.is_alive()
                    && mention.boot == member.boot
                    && !remaining.is_zero()
                    && !is_news(now, member.told_until, expires.max(member.expires));
                if nothing_new {
                    member.expires = member.expires.max(expires);
                }
                (member.boot, outdated || nothing_new)
            });
            match known {
                Some((_, true)) => {}
                None if remaining.is_zero() => {}
                known => {
                    let Ok(node) = NodeName::from_bytes(mention.name.as_bytes()) else {
                        self.counters.malformed += 1;
                        continue;
                    };
                    if remaining.is_zero() {
                        self.goodbye(now, &node, mention.boot, None);
                        continue;
                    }
                    let restarted = known.is_some_and(|(boot, _)| mention.boot > boot);
                    let order = self.order;
                    match self
                        .members
                        .live(&node, mention.boot, now.monotonic + remaining)
                    {
                        Some(member) => member.named = order,
                        None => self.counters.full += 1,
                    }
                    self.tell(now, &node, restarted);
                }
            }
        }
    }

    fn goodbye(&mut self, now: Now, node: &NodeName, boot: u64, sequence: Option<u64>) {
        // Also of a node that was not known: so an earlier announcement that comes late is not believed.
        let was_alive = self
            .members
            .get_mut(node.as_str())
            .is_some_and(|m| m.is_alive());
        let order = self.order;
        if let Some(member) = self.members.live(node, boot, now.monotonic) {
            member.named = order;
            if let Some(sequence) = sequence {
                member.heard = Some((sequence, now.monotonic));
            }
        }
        self.members.leave(now.monotonic, node.as_str());
        if was_alive {
            self.observations.push_back(Observation::Gone(node.clone()));
        }
    }

    /// Whether the time of a stranger's announcement is near ours; counts it if not.
    fn in_time(&mut self, now: Now, header: &Header<'_>) -> bool {
        let skew = now.unix.abs_diff(header.time);
        if skew <= MAX_SKEW {
            return true;
        }
        self.counters.clock += 1;
        let behind = header.time < now.unix;
        self.trouble.clock = Some((now.monotonic, header.name.to_owned(), skew, behind));
        false
    }

    /// A node started again and its clock went back meanwhile: what it says looks older than what is
    /// known. It can only learn that from us, and takes a greater boot id then.
    fn tell_of_later_boot(&mut self, now: Now, header: &Header<'_>) {
        let fresh = now.unix.abs_diff(header.time) <= MAX_SKEW;
        if header.kind == Kind::Hello
            && fresh
            && let Some(member) = self.members.get_mut(header.name)
        {
            member.contradicted = true;
            self.order += 1;
            self.schedule_answer(now);
        }
    }

    /// Our own name, but not our boot, from the network.
    fn handle_own_name(&mut self, now: Now, source: IpAddr, header: &Header<'_>) {
        let raised = self.trouble.raised;
        if raised.is_some_and(|at| now.monotonic.saturating_sub(at) < RECENT) {
            // Most likely our own, sent before the number of the boot was raised.
            self.counters.own += 1;
            return;
        }
        let later = header.time > self.started.unix && now.unix.abs_diff(header.time) <= MAX_SKEW;
        if later && header.kind != Kind::Goodbye {
            self.counters.twin += 1;
            self.trouble.twin = Some((now.monotonic, source));
        } else {
            // From an earlier start of this node.
            self.counters.replayed += 1;
        }
    }

    fn handle_own_mention(&mut self, now: Now, own: &NodeName, mention: &Mention<'_>) {
        if mention.boot <= self.boot {
            self.own_named = self.order;
            return;
        }
        // The group knows a later boot. Either this node's clock went back between two starts, then a
        // greater number makes us heard; or a twin lives, then raising it would start a race.
        let recent = |at: Duration, by: Duration| now.monotonic.saturating_sub(at) < by;
        let twin = self.trouble.twin.is_some_and(|(at, _)| recent(at, RECENT));
        let raised = self.trouble.raised.is_some_and(|at| recent(at, RECENT));
        if twin || raised {
            return;
        }
        tracing::info!(node = %own, "the group knows a later start of this node: its clock went back; announcing anew");
        self.trouble.raised = Some(now.monotonic);
        self.boot = mention.boot.saturating_add(1);
        self.hellos_left = 3;
        self.next_send = Some(now.monotonic);
    }

    /// Tells whoever listens that the node lives, unless that is no news.
    fn tell(&mut self, now: Now, node: &NodeName, started: bool) {
        let Some(member) = self.members.get_mut(node.as_str()) else {
            return;
        };
        if !started && !is_news(now, member.told_until, member.expires) {
            return;
        }
        let ttl = member.expires.saturating_sub(now.monotonic);
        member.told_until = member.expires;
        self.observations.push_back(if started {
            Observation::Started(node.clone(), ttl)
        } else {
            Observation::Seen(node.clone(), ttl)
        });
    }

    /// Answers one that knows `known` nodes if there are `others` to know.
    fn consider_answer(&mut self, now: Now, known: u32, others: usize) {
        if usize::try_from(known).is_ok_and(|known| known < others) {
            self.schedule_answer(now);
        }
    }

    fn schedule_answer(&mut self, now: Now) {
        if self.own.is_none() {
            return;
        }
        let at = match self.answering {
            Some(answering) => answering.at,
            None => now.monotonic + self.answer_delay(ANSWER_SPACING),
        };
        self.answering = Some(Answering {
            since: self.order,
            at,
            until: now.monotonic + ANSWER_FOR,
        });
    }

    /// A random time, so long that in the whole group one ends in every `spacing`.
    fn answer_delay(&mut self, spacing: Duration) -> Duration {
        let group = u32::try_from(self.members.alive().max(1)).unwrap_or(u32::MAX);
        (spacing * group).mul_f64(self.rng.random::<f64>())
    }

    fn answer(&mut self, now: Now, answering: Answering) {
        let unnamed = self.unnamed_since(now, answering.since);
        if now.monotonic > answering.until || unnamed == 0 {
            self.answering = None;
            return;
        }
        let spacing = if self.answers.take_one(now.monotonic) {
            self.send(now, Kind::Answer, Some(answering.since));
            if self.unnamed_since(now, answering.since) == 0 {
                self.answering = None;
                return;
            }
            ANSWER_SPACING
        } else {
            Duration::from_secs_f64(1.0 / ANSWERS_PER_SECOND)
        };
        let delay = self.answer_delay(spacing);
        self.answering = Some(Answering {
            at: now.monotonic + delay,
            ..answering
        });
    }

    fn unnamed_since(&self, now: Now, since: u64) -> usize {
        let own = usize::from(self.own_named < since);
        let others = self.members.remembered();
        own + others
            .filter(|(_, member)| worth_naming(member, now) && due(member, since))
            .count()
    }

    fn send_scheduled(&mut self, now: Now) {
        if self.goodbyes_left > 0 {
            self.goodbyes_left -= 1;
            self.send(now, Kind::Goodbye, None);
            let pause = self.rng.random_range(10..25);
            self.next_send =
                (self.goodbyes_left > 0).then(|| now.monotonic + Duration::from_millis(pause));
        } else if self.hellos_left > 0 {
            self.hellos_left -= 1;
            self.send(now, Kind::Hello, None);
            self.next_send = self.after_hello(now);
        } else {
            self.send(now, Kind::Announce, None);
            let interval = self.interval();
            let jittered = interval.mul_f64(self.rng.random_range(0.9..1.1));
            self.next_send = Some(now.monotonic + jittered);
        }
    }

    /// When to speak next: soon, for a hello that may have been lost; less soon in a large group, all of
    /// which may be starting at once; never again, for one that only looks.
    fn after_hello(&mut self, now: Now) -> Option<Duration> {
        let (least, most) = match self.hellos_left {
            2 => (50, 100),
            1 => (150, 300),
            _ if self.own.is_none() => return None,
            // Spread over the interval, so that nodes started together do not speak together.
            _ => {
                let interval = self.interval().mul_f64(self.rng.random_range(0.3..1.0));
                return Some(now.monotonic + interval);
            }
        };
        let alone = Duration::from_millis(self.rng.random_range(least..most));
        Some(now.monotonic + alone + self.answer_delay(ANSWER_SPACING * 5))
    }

    /// The steady time between two of our announcements.
    fn interval(&self) -> Duration {
        let group = u32::try_from(self.members.alive() + 1).unwrap_or(u32::MAX);
        self.base.max(PACE * group)
    }

    /// How long what we announce now holds. Others of a large group say that we live when we are heard
    /// by any of them, so fewer of our own announcements need get through to all.
    fn ttl(&self) -> Duration {
        let intervals = if self.members.alive() < 100 { 6 } else { 3 };
        (self.interval() * intervals).clamp(TTL_BOUNDS.0, TTL_BOUNDS.1)
    }

    /// Makes an announcement. An answer names members that nobody named after `since`.
    fn send(&mut self, now: Now, kind: Kind, since: Option<u64>) {
        self.sequence += 1;
        self.order += 1;
        self.counters.sent += 1;
        self.own_named = self.order;
        let header = Header {
            kind,
            boot: self.boot,
            sequence: self.sequence,
            time: now.unix,
            ttl: if kind == Kind::Goodbye {
                Duration::ZERO
            } else {
                self.ttl()
            },
            known: u32::try_from(self.members.alive()).unwrap_or(u32::MAX),
            name: self.own.as_ref().map_or("", NodeName::as_str),
        };
        let mut draft = Draft::new(&self.key, &header);
        // A hello is small: it asks. And those who only look vouch for nobody.
        if matches!(kind, Kind::Announce | Kind::Answer) {
            let order = self.order;
            let rng = &mut self.rng;
            for (name, member) in page(&mut self.members, rng, now, since) {
                let mention = Mention {
                    boot: member.boot,
                    remaining: remaining(member, now),
                    name: name.as_str(),
                };
                if !draft.mention(&mention) {
                    break;
                }
                member.named = order;
                member.contradicted = false;
            }
        }
        self.transmits.push_back(draft.seal());
    }

    /// What is wrong if this node has been alone for a while though there are signs of others, or if
    /// another node has its name: the cause and the remedy, for people.
    #[must_use]
    pub fn complaint(&self, now: Now) -> Option<String> {
        let recent = |at: Duration| now.monotonic.saturating_sub(at) < RECENT;
        if let (Some(own), Some((_, source))) =
            (&self.own, self.trouble.twin.filter(|t| recent(t.0)))
        {
            return Some(format!(
                "another node announces itself as {own}, from {source}: node names have to differ; give one of \
                 them another name or host part"
            ));
        }
        if self.members.alive() > 0 || now.monotonic.saturating_sub(self.started.monotonic) < ALONE
        {
            return None;
        }
        if let Some((_, name, skew, behind)) = self.trouble.clock.as_ref().filter(|t| recent(t.0)) {
            let name = if name.is_empty() { "a node" } else { name };
            let where_ = if *behind { "behind" } else { "ahead of" };
            return Some(format!(
                "announcements of {name} are {} s {where_} this host's clock, and {} s are allowed: set both clocks \
                 (NTP)",
                skew.as_secs(),
                MAX_SKEW.as_secs()
            ));
        }
        if let Some((_, source)) = self.trouble.forged.filter(|t| recent(t.0)) {
            return Some(format!(
                "announcements from {source} are forged or made with another secret: if that is a node of this \
                 cluster, give all nodes the same secret (or cookie)"
            ));
        }
        if let Some((_, source, version)) = self.trouble.version.filter(|t| recent(t.0)) {
            return Some(format!(
                "announcements from {source} are in version {version} of the layout, and this release reads {}: \
                 use the same release of Rendez on all nodes",
                codec::VERSION
            ));
        }
        (self.counters.own == 0 && self.counters.sent > 0 && self.counters.heard == 0).then(|| {
            "our own announcements do not come back to us: a firewall, or a network without multicast, drops \
             them; allow the UDP port, choose another `interface`, or use another provider"
                .to_owned()
        })
    }
}

/// Whether it is worth telling that a node lives until `expires` to one who was told `told_until`.
fn is_news(now: Now, told_until: Duration, expires: Duration) -> bool {
    let ttl = expires.saturating_sub(now.monotonic);
    expires.saturating_sub(told_until) >= ttl / 4
}

/// Whether there is something to say of a node.
fn worth_naming(member: &Member, now: Now) -> bool {
    match member.life {
        Life::Alive => !remaining(member, now).is_zero(),
        Life::Left => member.contradicted,
        Life::Expired => false,
    }
}

fn due(member: &Member, since: u64) -> bool {
    member.contradicted || member.named < since
}

/// For how much longer a node lives in whole seconds, as we tell others: zero if it left.
fn remaining(member: &Member, now: Now) -> Duration {
    if !member.is_alive() {
        return Duration::ZERO;
    }
    let remaining = member.expires.saturating_sub(now.monotonic);
    Duration::from_millis(
        u64::try_from(remaining.saturating_sub(HANDED_ON).as_millis()).unwrap_or(u64::MAX),
    )
}

/// The nodes to name next: those whose record has to be put right; then, in an answer, any that were not
/// named since it was asked for, and otherwise those that were named the longest ago.
fn page<'a>(
    members: &'a mut Members,
    rng: &mut StdRng,
    now: Now,
    since: Option<u64>,
) -> Vec<(&'a NodeName, &'a mut Member)> {
    let mut page: Vec<_> = members
        .all_mut()
        .filter(|(_, member)| {
            worth_naming(member, now) && since.is_none_or(|since| due(member, since))
        })
        .collect();
    if since.is_some() {
        // At random: whoever else answers in the same millisecond is to name others.
        let (_, _) = page.partial_shuffle(rng, PAGE);
        let kept = page.len().min(PAGE);
        let from = page.len() - kept;
        page.drain(..from);
    } else if page.len() > PAGE {
        page.select_nth_unstable_by_key(PAGE, |(_, member)| member.named);
        page.truncate(PAGE);
    }
    page.sort_by_key(|(_, member)| {
        (
            !member.contradicted,
            if since.is_some() { 0 } else { member.named },
        )
    });
    page
}

/// A budget that fills up with time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    fn new(now: Duration) -> Self {
        Self {
            tokens: ANSWER_BURST,
            at: now,
        }
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * ANSWERS_PER_SECOND).min(ANSWER_BURST);
        self.at = now;
    }

    /// Somebody else took one, whether or not there was one.
    fn take(&mut self, now: Duration) {
        self.fill(now);
        self.tokens = (self.tokens - 1.0).max(0.0);
    }

    /// Takes one if there is one.
    fn take_one(&mut self, now: Duration) -> bool {
        self.fill(now);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}
