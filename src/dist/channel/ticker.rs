//! When to tell the peer that this node lives, and when it is gone itself. Pure.
//!
//! As OTP's `dist_util`: four times in `net_ticktime` it is looked at what went through the connection.
//! So a peer counts as dead after one to one and a quarter `net_ticktime` of silence.

/// How many looks are taken in `net_ticktime`.
pub(super) const CHECKS: u8 = 4;

/// What has gone through a connection so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Bytes that were read.
    pub(super) read: u64,
    /// Bytes that were written.
    pub(super) written: u64,
    /// Whether something is to be read as soon as it comes.
    pub(super) listening: bool,
    /// Whether something waits to be written.
    pub(super) pending: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: there was traffic.
    Fine,
    /// A tick has to go out.
    Tick,
    /// The peer has said nothing for too long.
    Silent,
    /// The peer has taken nothing for too long.
    Stuck,
}

/// Looks at the traffic of a connection, four times in `net_ticktime`.
#[derive(Debug, Default)]
pub(super) struct Ticker {
    last: Traffic,
    silent: u8,
    stuck: u8,
}

impl Ticker {
    pub(super) fn check(&mut self, now: Traffic) -> Verdict {
        let read = now.read != self.last.read;
        let written = now.written != self.last.written;
        self.last = now;
        // What nobody listens for may have come.
        self.silent = if read || !now.listening {
            0
        } else {
            self.silent + 1
        };
        self.stuck = if written || !now.pending {
            0
        } else {
            self.stuck + 1
        };
        if self.silent >= CHECKS {
            Verdict::Silent
        } else if self.stuck >= CHECKS {
            Verdict::Stuck
        } else if !now.pending && (!written || !read) {
            // C nodes of libei say that they live only when they are asked, so silence is answered too.
            Verdict::Tick
        } else {
            Verdict::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Traffic = Traffic {
        read: 0,
        written: 0,
        listening: true,
        pending: false,
    };

    /// What each of the looks says.
    fn verdicts(looks: &[Traffic]) -> Vec<Verdict> {
        let mut ticker = Ticker::default();
        looks.iter().map(|look| ticker.check(*look)).collect()
    }

    #[test]
    fn the_fourth_look_at_a_silent_peer_is_the_last() {
        use Verdict::{Silent, Tick};
        assert_eq!(verdicts(&[QUIET; 4]), [Tick, Tick, Tick, Silent]);
        let heard = Traffic { read: 4, ..QUIET };
        assert_eq!(
            verdicts(&[QUIET, QUIET, QUIET, heard, heard, heard, heard, heard]),
            [Tick, Tick, Tick, Tick, Tick, Tick, Tick, Silent]
        );
    }

    #[test]
    fn who_does_not_listen_cannot_call_the_peer_silent() {
        let deaf = Traffic {
            listening: false,
            ..QUIET
        };
        assert_eq!(verdicts(&[deaf; 9]), [Verdict::Tick; 9]);
    }

    #[test]
    fn traffic_both_ways_makes_ticks_needless() {
        let looks: Vec<_> = (1..9)
            .map(|n| Traffic {
                read: n,
                written: n,
                ..QUIET
            })
            .collect();
        assert_eq!(verdicts(&looks), [Verdict::Fine; 8]);
    }

    #[test]
    fn a_peer_that_only_listens_is_ticked_so_that_it_answers() {
        let looks: Vec<_> = (1..4).map(|written| Traffic { written, ..QUIET }).collect();
        assert_eq!(verdicts(&looks), [Verdict::Tick; 3]);
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up() {
        let looks: Vec<_> = (1..9)
            .map(|read| Traffic {
                read,
                pending: true,
                ..QUIET
            })
            .collect();
        use Verdict::{Fine, Stuck};
        assert_eq!(verdicts(&looks[..4]), [Fine, Fine, Fine, Stuck]);
        let slow: Vec<_> = (1..9)
            .map(|n| Traffic {
                read: n,
                written: n / 3,
                pending: true,
                ..QUIET
            })
            .collect();
        assert_eq!(verdicts(&slow), [Fine; 8]);
    }
}
