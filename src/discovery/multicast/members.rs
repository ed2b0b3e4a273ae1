//! Who is known, and what was last heard of each.

use std::collections::HashMap;
use std::time::Duration;

use crate::name::NodeName;

/// The most nodes that are remembered, those that left among them.
pub(super) const MAX_MEMBERS: usize = 20_000;

/// How far a stranger's clock may be from ours. The clocks of a cluster without NTP drift by seconds a
/// day; what is older is taken for a replay.
pub(super) const MAX_SKEW: Duration = Duration::from_secs(300);

/// How long a node that expired or left is remembered: after that, the time in a replay of its last
/// announcement is itself too old, even by a clock that was off by all it may be.
const MEMORY: Duration = Duration::from_secs(2 * MAX_SKEW.as_secs());

/// How late further copies of an announcement come when they are no replays.
const COPIES: Duration = Duration::from_secs(1);

/// What is known of a node's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It is there, as far as is known.
    Alive,
    /// It said goodbye.
    Left,
    /// It was not heard of in time.
    Expired,
}

/// A node that is known.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Which start of it.
    pub boot: u64,
    /// Whether it is there.
    pub life: Life,
    /// Until when it is held to live; if it does not live, when it left or expired.
    pub expires: Duration,
    /// Until when it was last said to live to whoever listens to us.
    pub told_until: Duration,
    /// When it was last named in the group, by itself or by another: the number of that announcement in
    /// the order of hearing.
    pub named: u64,
    /// Somebody holds something outdated of it, and should hear what we know.
    pub contradicted: bool,
    /// The last sequence number heard from the node itself, and when; `None` while it is only known
    /// from others.
    pub heard: Option<(u64, Duration)>,
}

impl Member {
    /// Whether it is there, as far as is known.
    pub fn is_alive(&self) -> bool {
        self.life == Life::Alive
    }
}

/// What an announcement is beside what is known of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Nothing is known of the sender, or only from others: its time has to be right.
    Unproven,
    /// A later start of the node. Its time has to be right.
    Restarted,
    /// The next of the boot that is known.
    Next,
    /// One that was just heard.
    Copy,
    /// Outdated.
    Replayed,
    /// Of a boot before the one that is known.
    OldBoot,
}

/// All nodes that are known.
#[derive(Debug, Default)]
pub(super) struct Members {
    known: HashMap<NodeName, Member>,
    alive: usize,
    /// Nothing expires or is forgotten before.
    next_sweep: Option<Duration>,
}

impl Members {
    /// How many nodes live.
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// All nodes that are remembered, those that left among them.
    pub fn remembered(&self) -> impl Iterator<Item = (&NodeName, &Member)> {
        self.known.iter()
    }

    /// As [`Members::remembered`], to change them.
    pub fn all_mut(&mut self) -> impl Iterator<Item = (&NodeName, &mut Member)> {
        self.known.iter_mut()
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Member> {
        self.known.get_mut(name)
    }

    /// Compares an announcement with what is known of its sender.
    pub fn freshness(&self, now: Duration, name: &str, boot: u64, sequence: u64) -> Freshness {
        let Some(member) = self.known.get(name) else {
            return Freshness::Unproven;
        };
        if boot > member.boot {
            return Freshness::Restarted;
        }
        if boot < member.boot {
            return Freshness::OldBoot;
        }
        match member.heard {
            None => Freshness::Unproven,
            Some((last, _)) if sequence > last => Freshness::Next,
            Some((last, at)) if last - sequence < 8 && now.saturating_sub(at) < COPIES => {
                Freshness::Copy
            }
            Some(_) => Freshness::Replayed,
        }
    }

    /// Notes that the node lives until `expires`, as the `boot` that it is. Answers `None` if there is
    /// no room for it.
    pub fn live(&mut self, name: &NodeName, boot: u64, expires: Duration) -> Option<&mut Member> {
        if !self.known.contains_key(name) && !self.make_room() {
            return None;
        }
        let member = self.known.entry(name.clone()).or_insert(Member {
            boot,
            life: Life::Expired,
            expires: Duration::ZERO,
            told_until: Duration::ZERO,
            named: 0,
            contradicted: false,
            heard: None,
        });
        if member.boot != boot {
            member.boot = boot;
            member.heard = None;
            // What the earlier start promised does not bind the later one.
            member.expires = Duration::ZERO;
            member.told_until = Duration::ZERO;
            member.contradicted = false;
        }
        if !member.is_alive() {
            member.life = Life::Alive;
            member.expires = Duration::ZERO;
            member.told_until = Duration::ZERO;
            self.alive += 1;
        }
        member.expires = member.expires.max(expires);
        let due = member.expires;
        self.next_sweep = Some(self.next_sweep.map_or(due, |sweep| sweep.min(due)));
        self.known.get_mut(name)
    }

    /// Notes that the node left. Answers whether it was there.
    pub fn leave(&mut self, now: Duration, name: &str) -> bool {
        let Some(member) = self.known.get_mut(name).filter(|m| m.is_alive()) else {
            return false;
        };
        member.life = Life::Left;
        member.expires = now;
        member.told_until = Duration::ZERO;
        self.alive -= 1;
        true
    }

    /// When [`Members::sweep`] has something to do.
    pub fn next_sweep(&self) -> Option<Duration> {
        self.next_sweep
    }

    /// Ends the life of those that were not heard of in time, and forgets those long gone.
    pub fn sweep(&mut self, now: Duration) {
        if self.next_sweep.is_none_or(|due| due > now) {
            return;
        }
        let mut next = None;
        self.known.retain(|_, member| {
            if member.is_alive() && member.expires <= now {
                member.life = Life::Expired;
                member.told_until = Duration::ZERO;
                self.alive -= 1;
            }
            let due = if member.is_alive() {
                member.expires
            } else {
                member.expires + MEMORY
            };
            if due <= now {
                return false;
            }
            next = Some(next.map_or(due, |next: Duration| next.min(due)));
            true
        });
        // Looking through thousands of nodes for each that expires would be quadratic.
        self.next_sweep = next.map(|next| next.max(now + Duration::from_secs(1)));
    }

    /// Forgets those that are gone if there are too many. Answers whether one more can be kept.
    fn make_room(&mut self) -> bool {
        if self.known.len() >= MAX_MEMBERS && self.alive < MAX_MEMBERS {
            self.known.retain(|_, member| member.is_alive());
        }
        self.known.len() < MAX_MEMBERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    #[test]
    fn freshness_is_told_by_boot_then_sequence() {
        let mut members = Members::default();
        let fresh = |m: &Members, at, boot, sequence| m.freshness(secs(at), "a@b", boot, sequence);
        assert_eq!(fresh(&members, 0, 5, 1), Freshness::Unproven);
        members.live(&name("a@b"), 5, secs(30)).unwrap();
        assert_eq!(fresh(&members, 0, 5, 1), Freshness::Unproven);
        members.get_mut("a@b").unwrap().heard = Some((7, secs(1)));
        assert_eq!(fresh(&members, 1, 5, 8), Freshness::Next);
        assert_eq!(fresh(&members, 1, 5, 7), Freshness::Copy);
        assert_eq!(fresh(&members, 3, 5, 7), Freshness::Replayed);
        assert_eq!(fresh(&members, 1, 6, 1), Freshness::Restarted);
        assert_eq!(fresh(&members, 1, 4, 99), Freshness::OldBoot);
    }

    #[test]
    fn who_expired_is_remembered_until_its_replays_are_too_old() {
        let mut members = Members::default();
        members.live(&name("a@b"), 5, secs(30)).unwrap().heard = Some((7, secs(1)));
        members.sweep(secs(29));
        assert_eq!(members.alive(), 1);
        members.sweep(secs(30));
        assert_eq!(members.alive(), 0);
        assert_eq!(
            members.freshness(secs(40), "a@b", 5, 7),
            Freshness::Replayed
        );
        let due = members.next_sweep().unwrap();
        assert_eq!(due, secs(630));
        members.sweep(due);
        assert_eq!(members.freshness(due, "a@b", 5, 7), Freshness::Unproven);
        assert_eq!(members.next_sweep(), None);
    }

    #[test]
    fn room_is_bounded_and_the_living_come_first() {
        let mut members = Members::default();
        for n in 0..MAX_MEMBERS {
            let node = name(&format!("n{n}@h"));
            assert!(members.live(&node, 1, secs(30)).is_some());
        }
        assert!(members.live(&name("one@more"), 1, secs(30)).is_none());
        assert!(members.leave(secs(1), "n0@h"));
        assert!(!members.leave(secs(1), "n0@h"));
        assert!(members.live(&name("one@more"), 1, secs(30)).is_some());
        assert_eq!(members.alive(), MAX_MEMBERS);
    }
}
