//! What a soak goes by. `scripts/test soak` sets it through the environment.

use std::path::PathBuf;
use std::time::Duration;

/// `net_ticktime` of every node, in seconds. A silent peer is down after 6 to 10 s.
pub const TICK_TIME: u64 = 8;

/// A stop or a cut of at most this time ends no connection.
pub const SHORT: std::ops::Range<f64> = 0.5..3.0;

/// A stop or a cut of this time ends all connections, on both sides, before it is over. A time in between would let
/// `global` hear of a loss from a node that it still counts as connected, and cut healthy connections because of it.
pub const LONG: std::ops::Range<f64> = 13.0..20.0;

/// After the last fault of a round every node sees every other one within this time.
pub const WHOLE_WITHIN: Duration = Duration::from_secs(10);

/// A cluster that is not whole after this time never will be.
pub const GIVEN_UP: Duration = Duration::from_secs(120);

/// How long the cluster is left alone after a round, so that a late loss of a connection is seen.
pub const SETTLE: Duration = Duration::from_secs(3);

/// How long a name is kept that a DNS answer leaves out, in seconds.
pub const KEEP_FOR: u64 = 5;

/// How long a node is named by no source when it is to be removed.
pub const REMOVED: Duration = Duration::from_secs(14);

/// The cookie of every node.
pub const COOKIE: &str = "rendez-soak";

/// The settings of one run.
pub struct Settings {
    /// For how long new rounds begin.
    pub span: Duration,
    /// Where the choice of faults begins.
    pub seed: u64,
    /// Where everything is written.
    pub folder: PathBuf,
    /// Whether a removed node is disconnected with `erlang:disconnect_node/1` first (`RENDEZ_SOAK_BREAK`), which has
    /// to turn the soak red.
    pub broken: bool,
    /// Faults of these kinds alone, if any are named (`RENDEZ_SOAK_ONLY`, commas between them).
    pub only: Vec<String>,
}

impl Settings {
    /// From the environment; `None` if no time is given.
    ///
    /// # Panics
    /// When a value cannot be read.
    pub fn from_environment() -> Option<Self> {
        let hours: f64 = std::env::var("RENDEZ_SOAK_HOURS")
            .ok()?
            .parse()
            .expect("RENDEZ_SOAK_HOURS is a number of hours");
        let seed = crate::support::seed::seed(0);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .with_file_name("soak")
            .join(seed.to_string());
        let only = std::env::var("RENDEZ_SOAK_ONLY").unwrap_or_default();
        Some(Self {
            span: Duration::from_secs_f64(hours * 3_600.0),
            seed,
            folder,
            broken: std::env::var_os("RENDEZ_SOAK_BREAK").is_some(),
            only: only
                .split(',')
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// Now, as the nodes write it.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("the clock is set");
    u64::try_from(since.as_millis()).expect("before the year 500,000,000")
}
