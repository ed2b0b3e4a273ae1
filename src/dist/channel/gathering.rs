//! When to let messages gather before they are read. Pure.
//!
//! A peer that sends many small messages writes each as soon as it can, and each wakes the reader: that costs
//! both sides more than the message itself. A reader that looks away for a tenth of a millisecond finds a few
//! hundred of them, and the peer, which had nobody to wake, was quicker to send them. So it looks away from a
//! peer that talks without a pause and without being answered, as long as that pays.

use std::time::{Duration, Instant};

/// After this time without a message the peer has paused.
const PAUSE: Duration = Duration::from_micros(200);
/// After so many reads without a pause the reader looks away. More than a peer has to say that answers many
/// requests at once, as each of these may be waited for.
const QUICK: u32 = 256;
/// The same after it did not pay, at most: it is doubled each time.
const MOST_QUICK: u32 = 16 * 1024;
/// It pays if that many times as much is found as one read gave before.
const PAYS: usize = 8;
/// It is given up when it did not pay so many times in a row: the peer may have had something else to do.
const MISSES: u32 = 3;
/// A read that gives so many bytes is worth its while as it is.
const MUCH: usize = 4 * 1024;

/// Counts reads, and says when to look away.
#[derive(Debug)]
pub(super) struct Gathering {
    /// How many reads there were without a pause, and how many bytes they gave.
    quick: u32,
    bytes: usize,
    /// How many reads there have to be.
    needed: u32,
    away: Option<Away>,
    last: Option<Instant>,
}

/// What looking away has come to.
#[derive(Debug)]
struct Away {
    /// With how many bytes it pays.
    enough: usize,
    paid: u32,
    misses: u32,
}

impl Gathering {
    pub(super) fn new() -> Self {
        Self {
            quick: 0,
            bytes: 0,
            needed: QUICK,
            away: None,
            last: None,
        }
    }

    /// All that there was has been read, `bytes` since the last time. Whether to look away now; `spoke` is
    /// whether this side has sent anything since, which the peer may have to answer.
    pub(super) fn read_all(&mut self, now: Instant, bytes: usize, spoke: bool) -> bool {
        let since = self.last.replace(now).map(|last| now - last);
        if let Some(away) = &mut self.away {
            if bytes >= away.enough {
                away.paid += 1;
                away.misses = 0;
            } else {
                away.misses += 1;
            }
            if spoke || away.misses == MISSES {
                self.needed = if away.paid > MISSES {
                    QUICK
                } else {
                    (2 * self.needed).min(MOST_QUICK)
                };
                self.away = None;
            }
            return self.away.is_some();
        }
        let quick = since.is_some_and(|since| since < PAUSE);
        if spoke || !quick || bytes >= MUCH {
            (self.quick, self.bytes) = (0, 0);
            return false;
        }
        self.quick += 1;
        self.bytes += bytes;
        if self.quick >= self.needed {
            self.away = Some(Away {
                enough: PAYS * self.bytes / self.quick as usize,
                paid: 0,
                misses: 0,
            });
            (self.quick, self.bytes) = (0, 0);
        }
        self.away.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Reader {
        gathering: Gathering,
        now: Instant,
    }

    impl Reader {
        fn new() -> Self {
            Self {
                gathering: Gathering::new(),
                now: Instant::now(),
            }
        }

        /// Reads that often, so much each time; says how often it was to look away after one.
        fn reads(&mut self, count: u32, micros: u64, bytes: usize, spoke: bool) -> u32 {
            let mut away = 0;
            for _ in 0..count {
                self.now += Duration::from_micros(micros);
                away += u32::from(self.gathering.read_all(self.now, bytes, spoke));
            }
            away
        }
    }

    #[test]
    fn it_looks_away_from_a_flood_as_long_as_that_pays() {
        let mut reader = Reader::new();
        assert_eq!(
            reader.reads(QUICK, 5, 80, false),
            0,
            "the first has none before it"
        );
        assert_eq!(reader.reads(1, 5, 80, false), 1);
        assert_eq!(reader.reads(50, 150, 640, false), 50);
        // The peer has something else to do for a moment.
        assert_eq!(reader.reads(MISSES - 1, 150, 560, false), MISSES - 1);
        assert_eq!(reader.reads(10, 150, 640, false), 10);
        // The flood ends, and another begins.
        assert_eq!(reader.reads(MISSES, 150, 560, false), MISSES - 1);
        assert_eq!(reader.reads(QUICK - 1, 5, 80, false), 0);
        assert_eq!(reader.reads(1, 5, 80, false), 1);
        // It was none: the next has to last longer.
        assert_eq!(reader.reads(MISSES, 150, 80, false), MISSES - 1);
        assert_eq!(reader.reads(2 * QUICK - 1, 5, 80, false), 0);
        assert_eq!(reader.reads(1, 5, 80, false), 1);
    }

    #[test]
    fn who_is_answered_or_pauses_is_listened_to() {
        let mut reader = Reader::new();
        assert_eq!(reader.reads(10 * QUICK, 5, 80, true), 0);
        assert_eq!(reader.reads(10 * QUICK, 300, 80, false), 0);
        for _ in 0..100 {
            assert_eq!(reader.reads(QUICK / 2, 5, 80, false), 0);
            assert_eq!(reader.reads(1, 5, 80, true), 0);
        }
        assert_eq!(
            reader.reads(10 * QUICK, 5, MUCH, false),
            0,
            "it comes in large pieces"
        );
        // An answer in the midst of a flood is not held up for long.
        assert_eq!(reader.reads(QUICK, 5, 80, false), 1);
        assert_eq!(reader.reads(10, 150, 640, false), 10);
        assert_eq!(reader.reads(1, 150, 640, true), 0);
        assert_eq!(reader.reads(QUICK - 1, 5, 80, false), 0);
    }

    #[test]
    fn a_dialogue_that_looks_like_a_flood_loses_little() {
        let mut reader = Reader::new();
        let away = reader.reads(1_000_000, 20, 80, false);
        // Of 20 seconds, a tenth of a millisecond each time.
        assert!(away < 300, "{away}");
    }
}
