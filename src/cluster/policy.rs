//! How eagerly the engine connects, and what it does with nodes that are no longer wanted.

use std::time::Duration;

use super::accept::Accept;
use super::random::Dice;

/// What the engine goes by. [`Policy::default`] suits a cluster of a few to a few hundred nodes.
///
/// ```
/// use rendez::cluster::Policy;
/// let policy = Policy { max_connecting: 8, ..Policy::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Which of the named nodes to connect to. Default: all.
    pub accept: Accept,
    /// The most attempts to connect that are under way at one time; with 0 the engine only watches.
    /// Default: 256.
    ///
    /// An attempt that waits for the DNS or for a host that does not answer holds its place, and costs next to
    /// nothing. So there are many places: with few, the dead peers of a DNS outage would delay live ones. What
    /// must not happen many times at once, whoever connects has to bound itself; `net_kernel` is asked for one
    /// connection at a time.
    ///
    /// Nodes that are tried for the first time go before nodes that failed before, and the latter never
    /// hold more than half of the attempts (but at least one), so that addresses which do not answer
    /// until a timeout do not hold up a node that has just started.
    pub max_connecting: usize,
    /// How long to wait after an attempt that failed. Default: [`Backoff::default`].
    pub backoff: Backoff,
    /// A node whose connection was lost is tried again after a random time between half of this and this. The
    /// random part keeps all its peers, and both ends of a connection, from trying at one moment. The other half is for
    /// a node that slept (SIGSTOP, a paused virtual machine) and finds all its connections lost: were it connected
    /// again to one peer before it has seen the loss of another, its `global` would tell the one of that loss, and
    /// the one would cut its own healthy connection to the other. Default: 1 s.
    pub reconnect_jitter: Duration,
    /// Whether a node is tried again by itself after its connection was lost or could not be made. Without,
    /// it is tried once for each fresh sighting (it is named after nobody named it, or says that it has just
    /// started), though not more often than each [`Backoff::max`], and at [`Input::Refresh`]. Default: true.
    ///
    /// [`Input::Refresh`]: super::Input::Refresh
    pub reconnect: bool,
    /// A connection that was lost sooner than this counts as a failed attempt, so that a peer which hangs
    /// up right after the handshake is not dialled without end. Default: 5 s.
    pub stable_after: Duration,
    /// An attempt that has not come to its end after this time is given up and its place freed. It has to
    /// be longer than any attempt can take: `net_setuptime` is at most 120 s, see
    /// <https://www.erlang.org/doc/apps/kernel/kernel_app.html>. Default: 150 s.
    pub attempt_timeout: Duration,
    /// What becomes of the connection to a node that no provider names any longer. Default:
    /// [`OnRemoved::Keep`].
    pub on_removed: OnRemoved,
    /// A fuse: no node is taken in while this many are known, counting those that are wanted, connected,
    /// or not yet forgotten after failures. It bounds the connections and the memory that a provider gone
    /// wild can cost. `None`: no limit. Default: 10,000, which no full mesh of BEAM nodes comes near.
    pub max_nodes: Option<usize>,
    /// How many nodes that were never seen before are let in each hour; ten times as many at once. Each name
    /// that is connected to becomes an atom of the BEAM, which is never freed, so this bounds what a provider
    /// gone wild can do to the atom table over time. `None`: no limit. At least 1. Default: 1,000.
    pub max_new_nodes: Option<usize>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            accept: Accept::everything(),
            max_connecting: 256,
            backoff: Backoff::default(),
            reconnect_jitter: Duration::from_secs(1),
            reconnect: true,
            stable_after: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(150),
            on_removed: OnRemoved::Keep,
            max_nodes: Some(10_000),
            max_new_nodes: Some(1_000),
        }
    }
}

/// What becomes of the connection to a node that no provider names any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRemoved {
    /// It stays for as long as the node does.
    #[default]
    Keep,
    /// It is ended.
    Disconnect {
        /// Only after this time, and only if no provider has named the node again by then.
        grace: Duration,
    },
}

/// Exponential backoff with full jitter: after the n-th failure in a row a random time from `min` to
/// `min` times 2 to the n, but never above `max`.
///
/// The random part keeps nodes that failed together from trying again together; see "Exponential Backoff
/// And Jitter" in the AWS Architecture Blog. The lower bound keeps a lucky draw from being no pause at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// The shortest `min`: without a pause a node that refuses would be dialled in a tight loop.
    pub const SHORTEST: Duration = Duration::from_millis(1);

    /// A backoff between two bounds.
    ///
    /// # Errors
    /// [`InvalidBackoff::TooShort`] if `min` is under [`Self::SHORTEST`], [`InvalidBackoff::Crossed`] if it
    /// is above `max`.
    pub fn new(min: Duration, max: Duration) -> Result<Self, InvalidBackoff> {
        if min < Self::SHORTEST {
            Err(InvalidBackoff::TooShort(min))
        } else if min > max {
            Err(InvalidBackoff::Crossed { min, max })
        } else {
            Ok(Self { min, max })
        }
    }

    /// The shortest pause.
    #[must_use]
    pub fn min(&self) -> Duration {
        self.min
    }

    /// The longest pause.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The longest pause after `failures` in a row.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.min.saturating_mul(factor).min(self.max)
    }

    pub(super) fn draw(&self, failures: u32, dice: &mut Dice) -> Duration {
        self.min + jitter(self.ceiling(failures) - self.min, dice)
    }
}

impl Default for Backoff {
    /// From 100 ms, so that a peer which was about to listen is joined at once, to 30 s, so that one whose
    /// firewall was opened does not wait for minutes.
    fn default() -> Self {
        Self {
            min: Duration::from_millis(100),
            max: Duration::from_secs(30),
        }
    }
}

/// A random time from nothing to `most`.
pub(super) fn jitter(most: Duration, dice: &mut Dice) -> Duration {
    Duration::from_nanos(dice.up_to(u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
}

/// Why two times are no backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBackoff {
    /// The lower bound is no pause.
    #[error("a backoff of at least {0:?} is no pause; the lower bound takes 1 ms or more")]
    TooShort(Duration),
    /// The bounds are the wrong way round.
    #[error(
        "the lower bound of the backoff ({min:?}) is above its upper bound ({max:?}); exchange them"
    )]
    Crossed {
        /// The lower bound.
        min: Duration,
        /// The upper bound.
        max: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum_and_never_overflows() {
        let backoff = Backoff::new(100 * MS, 1_000 * MS).unwrap();
        let ceilings: Vec<u128> = (0..6).map(|n| backoff.ceiling(n).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(backoff.ceiling(31), 1_000 * MS);
        assert_eq!(backoff.ceiling(u32::MAX), 1_000 * MS);
        let widest = Backoff::new(MS, Duration::MAX).unwrap();
        assert!(widest.ceiling(u32::MAX) > Duration::from_secs(1_000_000));
    }

    #[test]
    fn draws_fill_the_range_and_stay_in_it() {
        let backoff = Backoff::new(100 * MS, 1_000 * MS).unwrap();
        let mut dice = Dice::new(1);
        for failures in 1..10 {
            let ceiling = backoff.ceiling(failures);
            let draws: Vec<_> = (0..500)
                .map(|_| backoff.draw(failures, &mut dice))
                .collect();
            assert!(draws.iter().all(|d| (backoff.min()..=ceiling).contains(d)));
            let middle = (backoff.min() + ceiling) / 2;
            let low = draws.iter().filter(|&&d| d < middle).count();
            assert!((150..350).contains(&low), "{low} of 500 below the middle");
        }
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        assert_eq!(
            Backoff::new(Duration::ZERO, MS),
            Err(InvalidBackoff::TooShort(Duration::ZERO))
        );
        assert_eq!(
            Backoff::new(2 * MS, MS),
            Err(InvalidBackoff::Crossed {
                min: 2 * MS,
                max: MS
            })
        );
        assert!(Backoff::new(MS, MS).is_ok());
    }
}
