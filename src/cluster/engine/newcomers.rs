//! How many names that were never seen before are let in.
//!
//! Each name that is connected to becomes an atom of the BEAM, which is never freed, and a full atom table ends
//! the node. `max_nodes` bounds how many names there are at one time; this bounds how many come over time.

use std::collections::HashSet;
use std::time::Duration;

use crate::name::NodeName;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many hours' worth of names may come at once.
const BURST_HOURS: u32 = 10;

/// How many names that were let in are remembered. One that comes back is an atom already and costs nothing.
const REMEMBERED: usize = 20_000;

/// A bucket of new names, which fills with time.
#[derive(Debug)]
pub(super) struct Newcomers {
    /// The time in which one name may come; `None`: without limit.
    cost: Option<Duration>,
    /// The moment at which the bucket is full again.
    full_at: Duration,
    known: HashSet<NodeName>,
    /// When it was last told that the bucket is empty.
    told: Option<Duration>,
}

impl Newcomers {
    pub(super) fn new(per_hour: Option<usize>) -> Self {
        let cost = |names: usize| HOUR / u32::try_from(names.max(1)).unwrap_or(u32::MAX);
        Self {
            cost: per_hour.map(cost),
            full_at: Duration::ZERO,
            known: HashSet::new(),
            told: None,
        }
    }

    /// Lets the name in, if it is known or there is room for a new one.
    pub(super) fn admit(&mut self, now: Duration, name: &NodeName) -> bool {
        let Some(cost) = self.cost else {
            return true;
        };
        if self.known.contains(name) {
            return true;
        }
        if self.is_empty(now) {
            return false;
        }
        self.full_at = self.full_at.max(now).saturating_add(cost);
        if self.known.len() >= REMEMBERED {
            self.known = HashSet::new();
        }
        self.known.insert(name.clone());
        true
    }

    /// Whether no new name is let in now.
    pub(super) fn is_empty(&self, now: Duration) -> bool {
        self.next(now).is_some_and(|next| next > now)
    }

    /// When the next new name is let in; `None` if there is no limit.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        let cost = self.cost?;
        let after = self.full_at.max(now).saturating_add(cost);
        Some(after.saturating_sub(HOUR * BURST_HOURS).max(now))
    }

    /// Whether to tell now that a name was turned away: once an hour.
    pub(super) fn tells(&mut self, now: Duration) -> bool {
        let tells = self
            .told
            .is_none_or(|told| now.saturating_sub(told) >= HOUR);
        if tells {
            self.told = Some(now);
        }
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> NodeName {
        format!("n{n}@h").parse().unwrap()
    }

    #[test]
    fn ten_hours_worth_at_once_and_then_so_many_an_hour() {
        let mut newcomers = Newcomers::new(Some(6));
        let mut now = Duration::from_secs(7);
        let mut names = (0..).map(name);
        let mut let_in = |newcomers: &mut Newcomers, now| {
            names
                .by_ref()
                .take_while(|name| newcomers.admit(now, name))
                .count()
        };
        assert_eq!(let_in(&mut newcomers, now), 60);
        assert_eq!(newcomers.next(now), Some(now + HOUR / 6));
        now += HOUR / 6 - Duration::from_nanos(1);
        assert_eq!(let_in(&mut newcomers, now), 0);
        now += HOUR + Duration::from_nanos(1);
        assert_eq!(let_in(&mut newcomers, now), 7);
        assert!(newcomers.admit(now, &name(3)), "it is an atom already");
        now += 100 * HOUR;
        assert_eq!(let_in(&mut newcomers, now), 60);
        assert!(newcomers.tells(now) && !newcomers.tells(now) && newcomers.tells(now + HOUR));
        assert!((0..100_000).all(|n| Newcomers::new(None).admit(now, &name(n))));
    }
}
