//! How many lines of one kind may come.

use std::time::Duration;

/// Lets `most` through at once, and one more after each `refill`.
#[derive(Debug)]
pub(crate) struct Limit {
    most: u32,
    refill: Duration,
    left: u32,
    /// When the last one was added that was used up.
    since: Duration,
}

impl Limit {
    pub(crate) fn new(most: u32, refill: Duration) -> Self {
        Self {
            most,
            refill,
            left: most,
            since: Duration::ZERO,
        }
    }

    /// Whether one more may come now.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let spans = now.saturating_sub(self.since).as_nanos() / self.refill.as_nanos().max(1);
        let spans = u32::try_from(spans).unwrap_or(u32::MAX);
        if self.left.saturating_add(spans) >= self.most {
            self.left = self.most;
            self.since = now;
        } else if spans > 0 {
            self.left += spans;
            self.since += self.refill * spans;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_for_each_span() {
        let second = Duration::from_secs(1);
        let mut limit = Limit::new(3, 10 * second);
        let mut came =
            |from: u32, to: u32| (from..to).filter(|&at| limit.take(second * at)).count();
        assert_eq!(came(0, 9), 3);
        assert_eq!(came(10, 60), 5);
        assert_eq!(came(1000, 1005), 3);
    }
}
