//! Who is connected to next.

use std::collections::BTreeMap;

/// How many first attempts may overtake a waiting retry.
const FRESH_IN_A_ROW: u32 = 3;

/// The queue of nodes to connect to: first come, first served, but first attempts before retries.
///
/// Without the preference a node that has just started would wait behind all addresses that do not answer;
/// without its limit a stream of new names would keep retries waiting for ever.
#[derive(Debug, Default)]
pub(super) struct Turns {
    tickets: u64,
    fresh: BTreeMap<u64, usize>,
    retries: BTreeMap<u64, usize>,
    fresh_in_a_row: u32,
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) retry: bool,
    ticket: u64,
}

impl Turns {
    fn queue(&mut self, retry: bool) -> &mut BTreeMap<u64, usize> {
        if retry {
            &mut self.retries
        } else {
            &mut self.fresh
        }
    }

    pub(super) fn join(&mut self, id: usize, retry: bool) -> Turn {
        let ticket = self.tickets;
        self.tickets += 1;
        self.queue(retry).insert(ticket, id);
        Turn { retry, ticket }
    }

    pub(super) fn leave(&mut self, turn: Turn) {
        self.queue(turn.retry).remove(&turn.ticket);
    }

    /// Takes the next one out; a retry only if `retries_too`.
    pub(super) fn next(&mut self, retries_too: bool) -> Option<usize> {
        let retry_waits = retries_too && !self.retries.is_empty();
        if retry_waits && (self.fresh.is_empty() || self.fresh_in_a_row >= FRESH_IN_A_ROW) {
            self.fresh_in_a_row = 0;
            self.retries.pop_first().map(|(_, id)| id)
        } else {
            let (_, id) = self.fresh.pop_first()?;
            self.fresh_in_a_row = self.fresh_in_a_row.saturating_add(1);
            Some(id)
        }
    }

    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.retries.len()
    }

    /// Who holds the turn.
    pub(super) fn holder(&self, turn: Turn) -> Option<usize> {
        let queue = if turn.retry {
            &self.retries
        } else {
            &self.fresh
        };
        queue.get(&turn.ticket).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_attempts_go_first_but_do_not_starve_retries() {
        let mut turns = Turns::default();
        for id in 0..2 {
            turns.join(100 + id, true);
        }
        for id in 0..8 {
            turns.join(id, false);
        }
        let order: Vec<_> = std::iter::from_fn(|| turns.next(true)).collect();
        assert_eq!(order, [0, 1, 2, 100, 3, 4, 5, 101, 6, 7]);
    }

    #[test]
    fn retries_wait_when_they_have_no_place() {
        let mut turns = Turns::default();
        turns.join(1, true);
        turns.join(2, false);
        assert_eq!(turns.next(false), Some(2));
        assert_eq!(turns.next(false), None);
        assert_eq!(turns.next(true), Some(1));
    }

    #[test]
    fn who_leaves_is_not_called() {
        let mut turns = Turns::default();
        let first = turns.join(1, false);
        turns.join(2, false);
        assert_eq!(turns.holder(first), Some(1));
        turns.leave(first);
        assert_eq!((turns.holder(first), turns.len()), (None, 1));
        assert_eq!(turns.next(true), Some(2));
    }
}
