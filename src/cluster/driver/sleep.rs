//! Notices that the machine slept, by two clocks that no longer agree.
//!
//! While a machine is suspended its monotonic clock stands still (`CLOCK_MONOTONIC` in `clock_gettime(2)`,
//! which is what timers go by) and its wall clock does not. So after waking up every provider would wait
//! for the rest of its interval, and every backoff for its end, though peers may have given this node up
//! long ago. A wall clock that was set does the same harm to announcements, which carry the time.

use std::time::{Duration, Instant, SystemTime};

/// How often the clocks are compared.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// A difference between two looks that no clock makes which is merely inexact.
const JUMP: Duration = Duration::from_secs(5);

/// What the two clocks said at one moment: times since any fixed moment of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    pub(super) monotonic: Duration,
    pub(super) wall: Duration,
}

/// Remembers the last look.
#[derive(Debug)]
pub(super) struct Sleep {
    last: Clocks,
}

impl Sleep {
    pub(super) fn new(now: Clocks) -> Self {
        Self { last: now }
    }

    /// By how much the wall clock jumped, back or forth, since the last look; `None` if it did not.
    pub(super) fn jump(&mut self, now: Clocks) -> Option<Duration> {
        let passed = now.monotonic.saturating_sub(self.last.monotonic);
        let jump = now.wall.abs_diff(self.last.wall.saturating_add(passed));
        self.last = now;
        (jump >= JUMP).then_some(jump)
    }
}

/// Reads the system's clocks, not tokio's, which a test may have paused.
pub(super) fn system_clocks() -> impl Fn() -> Clocks + Send + Sync + 'static {
    let began = Instant::now();
    move || Clocks {
        monotonic: began.elapsed(),
        wall: SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(monotonic: u32, wall: u32) -> Clocks {
        Clocks {
            monotonic: SECOND * monotonic,
            wall: SECOND * wall,
        }
    }

    #[test]
    fn a_suspended_machine_and_a_clock_that_is_set_are_noticed_once() {
        let mut sleep = Sleep::new(at(10, 1_000));
        assert_eq!(sleep.jump(at(15, 1_005)), None);
        // An hour asleep.
        assert_eq!(sleep.jump(at(20, 4_610)), Some(SECOND * 3_600));
        assert_eq!(sleep.jump(at(25, 4_615)), None);
        // Set back by a day's part.
        assert_eq!(sleep.jump(at(30, 620)), Some(SECOND * 4_000));
        assert_eq!(sleep.jump(at(35, 625)), None);
    }

    #[test]
    fn a_late_look_and_a_clock_that_drifts_are_no_jump() {
        let mut sleep = Sleep::new(at(0, 1_000));
        assert_eq!(sleep.jump(at(600, 1_600)), None, "a look that came late");
        for n in 1..100 {
            // A second fast for each look, which never adds up.
            assert_eq!(sleep.jump(at(600 + 5 * n, 1_600 + 6 * n)), None);
        }
    }

    #[test]
    fn the_system_s_clocks_agree_with_each_other() {
        let clocks = system_clocks();
        let mut sleep = Sleep::new(clocks());
        assert_eq!(sleep.jump(clocks()), None);
    }
}
