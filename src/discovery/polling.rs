//! What every provider that has to ask again and again shares: pace, backoff, signals.
//!
//! A source says how to ask once ([`Poll`]); [`Polling`] makes a [`Provider`] of it. When to ask
//! next is [`Pace`]'s to say, a pure rule that is tested on its own.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use super::{Feed, Observation, Provider, Running, Signal};
use crate::name::NodeName;

/// A source of names that is asked.
pub trait Poll: Send + 'static {
    /// The word after `via`: `dns`, `epmd`.
    fn kind(&self) -> &'static str;

    /// Asks once. It bounds its own time: while it runs, nothing else is asked. The future is
    /// dropped when the provider is to stop.
    ///
    /// # Errors
    /// [`PollError`] when nothing was learnt. What the source said before stands then. A source that
    /// learnt a part answers with [`Answer::trouble`] instead.
    fn poll(&mut self) -> impl Future<Output = Result<Answer, PollError>> + Send;
}

/// What a source said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Every node that the source knows of. Order and repetition do not matter: [`Polling`] sorts
    /// and removes duplicates.
    pub nodes: Vec<NodeName>,
    /// The ports on which nodes listen, where the source knows them.
    pub ports: Vec<(NodeName, u16)>,
    /// How long the answer holds, if the source says so.
    pub ttl: Option<Duration>,
    /// What could not be learnt although the rest could: one name of several did not resolve, one
    /// host of several did not answer. `nodes` then holds what is known, with what the failed part
    /// said the last time that it spoke.
    pub trouble: Option<PollError>,
    /// What the user should know although the lookup did not fail. [`Polling`] tells each once.
    pub notices: Vec<Notice>,
}

/// Something about an answer that the user should know although the lookup did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about. Of several notices about one thing the first is told; the others, which differ in
    /// details such as an address, are not.
    pub about: String,
    /// A sentence for the user.
    pub text: String,
}

impl Answer {
    /// A whole answer, which holds for `ttl` if the source says so.
    #[must_use]
    pub fn new(nodes: Vec<NodeName>, ttl: Option<Duration>) -> Self {
        Self {
            nodes,
            ttl,
            ..Self::default()
        }
    }
}

/// Why a source could not be asked: the cause and the remedy, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PollError(pub String);

/// A provider that asks a [`Poll`] at its [`Pace`].
///
/// A refresh asks at once and makes the pace quick again; one that comes while a question is under
/// way asks once more after it. A stop drops the question that is under way.
#[derive(Debug)]
pub struct Polling<P> {
    source: P,
    pace: Pace,
    keep_for: Duration,
}

/// How long the sources that are asked keep a name that their answers leave out, unless configured. Several
/// answers fit into it at the usual intervals.
pub const KEEP_FOR: Duration = Duration::from_secs(30);

impl<P: Poll> Polling<P> {
    /// Asks `source` at least every `interval`.
    pub fn new(source: P, interval: Duration) -> Self {
        Self {
            source,
            pace: Pace::new(interval),
            keep_for: Duration::ZERO,
        }
    }

    /// Has a name kept for this long after the answers began to leave it out.
    #[must_use]
    pub fn keeping(self, keep_for: Duration) -> Self {
        Self { keep_for, ..self }
    }

    async fn run(mut self, mut feed: Feed) {
        let mut known = Known::default();
        loop {
            let mut refresh = false;
            let polled = {
                let mut poll = std::pin::pin!(self.source.poll());
                loop {
                    tokio::select! {
                        polled = &mut poll => break polled,
                        signal = feed.signal() => match signal {
                            Signal::Stop => return,
                            // The answer under way may be older than the wish.
                            Signal::Refresh => refresh = true,
                        },
                    }
                }
            };
            let outcome = tell(&feed, &mut known, polled).await;
            let wait = jitter(self.pace.next(outcome), rand::random());
            if !refresh {
                tokio::select! {
                    () = tokio::time::sleep(wait) => continue,
                    signal = feed.signal() => if signal == Signal::Stop { return },
                }
            }
            self.pace.quicken();
        }
    }
}

impl<P: Poll> Provider for Polling<P> {
    fn kind(&self) -> &'static str {
        self.source.kind()
    }

    fn keep_for(&self) -> Duration {
        self.keep_for
    }

    fn run(self: Box<Self>, feed: Feed) -> Running {
        Box::pin((*self).run(feed))
    }
}

/// What was passed on last.
#[derive(Default)]
struct Known {
    nodes: Option<Vec<NodeName>>,
    ports: Vec<(NodeName, u16)>,
    /// What the notices were about that were told.
    noticed: HashSet<String>,
}

/// Passes on what came of a poll, and says it to the pace.
async fn tell(feed: &Feed, known: &mut Known, polled: Result<Answer, PollError>) -> Outcome {
    let Answer {
        mut nodes,
        mut ports,
        ttl,
        trouble,
        notices,
    } = match polled {
        Ok(answer) => answer,
        Err(error) => {
            feed.tell(Observation::Failed(error.0)).await;
            return Outcome::Failed;
        }
    };
    nodes.sort_unstable();
    nodes.dedup();
    let changed = known.nodes.as_ref() != Some(&nodes);
    ports.sort_unstable();
    // Before the nodes, which are connected to at once.
    if known.ports != ports {
        known.ports.clone_from(&ports);
        feed.tell(Observation::Ports(ports)).await;
    }
    // A whole answer is told every time: it ends a failure. A partial one is told only when it is
    // news, so that a provider in partial failure is not seen to recover and fail at every poll.
    if changed || trouble.is_none() {
        feed.tell(Observation::Snapshot(nodes.clone())).await;
    }
    known.nodes = Some(nodes);
    for Notice { about, text } in notices {
        if known.noticed.insert(about) {
            feed.tell(Observation::Notice(text)).await;
        }
    }
    match trouble {
        None => Outcome::Answered { changed, ttl },
        Some(error) => {
            feed.tell(Observation::Failed(error.0)).await;
            Outcome::Partly { changed, ttl }
        }
    }
}

/// The shortest time between two polls that nobody asked for: never more than four a second.
pub const SHORTEST: Duration = Duration::from_millis(250);

/// The wait that follows the first answer and a changed one. Longer than [`SHORTEST`], so that
/// there is room for [`jitter`].
const QUICK: Duration = Duration::from_millis(333);

/// The wait that follows the first of several failures.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// A lifetime of 0 forbids caching; it does not ask for polls without a pause. It counts as the
/// shortest other lifetime that DNS knows.
const LEAST_TTL: Duration = Duration::from_secs(1);

/// How a poll went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is an answer. The first answer is a changed one.
    Answered {
        /// It differs from the one before.
        changed: bool,
        /// How long it holds, if the source says so.
        ttl: Option<Duration>,
    },
    /// There is an answer, but a part of the source failed.
    Partly {
        /// It differs from the one before.
        changed: bool,
        /// How long it holds, if the source says so.
        ttl: Option<Duration>,
    },
    /// There is none.
    Failed,
}

/// When to ask next: a pure rule.
///
/// - After the first answer, a changed one and a refresh the cluster is forming or changing: the next
///   question comes after a third of a second. Each answer that brings nothing new makes the wait half
///   as long again.
/// - The wait grows up to the shorter of the answer's time to live and `interval`, and stays there. A
///   time to live of less than a second counts as one second.
/// - A failure waits half a second; each further one in a row doubles the wait, up to `interval`. An
///   answer ends the row. Where only a part failed, the shorter of both waits holds.
/// - No wait is shorter than [`SHORTEST`] or longer than `interval` (unless that is shorter itself).
#[derive(Debug, Clone)]
pub struct Pace {
    interval: Duration,
    /// The wait after the next answer that brings nothing new, before its bounds.
    quick: Duration,
    /// The wait after the next failure, before its bounds.
    backoff: Duration,
}

impl Pace {
    /// A pace that never waits longer than `interval`, or than [`SHORTEST`] if that is longer.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(SHORTEST),
            quick: QUICK,
            backoff: FIRST_BACKOFF,
        }
    }

    /// Starts the quick phase again.
    pub fn quicken(&mut self) {
        self.quick = QUICK;
        self.backoff = FIRST_BACKOFF;
    }

    /// Takes in how a poll went and says how long to wait before the next, jitter not yet applied.
    pub fn next(&mut self, outcome: Outcome) -> Duration {
        let wait = match outcome {
            Outcome::Answered { changed, ttl } => {
                self.backoff = FIRST_BACKOFF;
                self.after_answer(changed, ttl)
            }
            Outcome::Partly { changed, ttl } => {
                self.after_answer(changed, ttl).min(self.after_failure())
            }
            Outcome::Failed => self.after_failure(),
        };
        wait.clamp(SHORTEST, self.interval)
    }

    fn after_answer(&mut self, changed: bool, ttl: Option<Duration>) -> Duration {
        if changed {
            self.quick = QUICK;
        }
        let wait = self.quick;
        // Bounded, so that it neither overflows nor has to be shrunk after a long quiet time.
        self.quick = (wait * 3 / 2).min(self.interval);
        ttl.map_or(wait, |ttl| wait.min(ttl.max(LEAST_TTL)))
    }

    fn after_failure(&mut self) -> Duration {
        let wait = self.backoff;
        self.backoff = (wait * 2).min(self.interval);
        wait
    }
}

/// Shortens a wait to between three quarters and the whole of it, so that nodes which started
/// together do not ask together for ever. `random` is in `0.0..1.0`. Never below [`SHORTEST`].
#[must_use]
pub fn jitter(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(1.0 - random.clamp(0.0, 1.0) / 4.0)
        .max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ProviderId;
    use crate::discovery::{Observed, SignalSender, feed};
    use std::collections::VecDeque;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn same(ttl: Option<Duration>) -> Outcome {
        Outcome::Answered {
            changed: false,
            ttl,
        }
    }

    fn news(ttl: Option<Duration>) -> Outcome {
        Outcome::Answered { changed: true, ttl }
    }

    #[test]
    fn quick_at_first_then_up_to_the_interval() {
        let mut pace = Pace::new(secs(10));
        let mut last = pace.next(news(None));
        assert_eq!(last, QUICK);
        for _ in 0..6 {
            let wait = pace.next(same(None));
            assert_eq!(wait, last * 3 / 2);
            last = wait;
        }
        for _ in 0..100 {
            last = pace.next(same(None));
        }
        assert_eq!(last, secs(10));
        assert_eq!(
            pace.next(news(None)),
            QUICK,
            "a change makes it quick again"
        );
    }

    #[test]
    fn a_time_to_live_bounds_the_wait_and_the_interval_bounds_both() {
        let settled = |ttl| {
            let mut pace = Pace::new(secs(10));
            (0..100).fold(Duration::ZERO, |_, _| pace.next(same(ttl)))
        };
        assert_eq!(settled(Some(secs(3))), secs(3));
        assert_eq!(settled(Some(secs(3600))), secs(10));
        assert_eq!(settled(Some(Duration::ZERO)), LEAST_TTL);
    }

    #[test]
    fn a_short_time_to_live_lets_a_change_be_seen_within_a_second_or_little_more() {
        for ttl in [0, 1] {
            let mut pace = Pace::new(secs(30));
            for _ in 0..100 {
                assert!(pace.next(same(Some(secs(ttl)))) <= secs(1));
            }
        }
    }

    #[test]
    fn failures_back_off_to_the_interval_and_an_answer_ends_the_row() {
        let mut pace = Pace::new(secs(3));
        let waits: Vec<_> = (0..5)
            .map(|_| pace.next(Outcome::Failed).as_millis())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 3000, 3000]);
        pace.next(same(None));
        assert_eq!(pace.next(Outcome::Failed), FIRST_BACKOFF);
    }

    #[test]
    fn a_part_that_fails_is_asked_again_by_its_backoff() {
        let mut pace = Pace::new(secs(60));
        for _ in 0..100 {
            pace.next(same(None));
        }
        let partly = Outcome::Partly {
            changed: false,
            ttl: Some(secs(60)),
        };
        let waits: Vec<_> = (0..9).map(|_| pace.next(partly).as_millis()).collect();
        assert_eq!(
            waits,
            [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
        );
    }

    proptest::proptest! {
        #[test]
        fn every_wait_is_within_its_bounds(
            interval_ms in 0u64..100_000,
            polls in proptest::collection::vec((0u8..4, proptest::option::of(0u64..u64::from(u32::MAX))), 0..100),
            random in 0.0f64..1.0,
        ) {
            let mut pace = Pace::new(Duration::from_millis(interval_ms));
            for (kind, ttl) in polls {
                let ttl = ttl.map(Duration::from_secs);
                let wait = jitter(pace.next(match kind {
                    0 => news(ttl),
                    1 => same(ttl),
                    2 => Outcome::Partly { changed: false, ttl },
                    _ => Outcome::Failed,
                }), random);
                assert!(wait >= SHORTEST);
                assert!(wait <= Duration::from_millis(interval_ms).max(SHORTEST));
            }
        }
    }

    #[test]
    fn jitter_takes_off_at_most_a_quarter() {
        assert_eq!(jitter(secs(8), 0.0), secs(8));
        assert_eq!(jitter(secs(8), 1.0), secs(6));
        assert_eq!(jitter(SHORTEST, 0.9), SHORTEST);
    }

    /// Answers by a script; when it has ended, every poll fails with "end".
    struct Script {
        answers: VecDeque<Result<Answer, PollError>>,
        takes: Duration,
        polled: mpsc::UnboundedSender<Instant>,
    }

    impl Poll for Script {
        fn kind(&self) -> &'static str {
            "script"
        }

        async fn poll(&mut self) -> Result<Answer, PollError> {
            let _ = self.polled.send(Instant::now());
            tokio::time::sleep(self.takes).await;
            self.answers.pop_front().unwrap_or_else(|| failed("end"))
        }
    }

    fn failed(text: &str) -> Result<Answer, PollError> {
        Err(PollError(text.into()))
    }

    fn names(names: &[&str]) -> Vec<NodeName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    struct Rig {
        observed: mpsc::Receiver<Observed>,
        polled: mpsc::UnboundedReceiver<Instant>,
        signals: SignalSender,
        task: tokio::task::JoinHandle<()>,
    }

    impl Rig {
        fn start(
            takes: Duration,
            answers: impl IntoIterator<Item = Result<Answer, PollError>>,
        ) -> Self {
            let (polls, polled) = mpsc::unbounded_channel();
            let (sender, observed) = mpsc::channel(64);
            let signals = SignalSender::new();
            let feed = feed(ProviderId::new(0).unwrap(), sender, &signals);
            let source = Script {
                answers: answers.into_iter().collect(),
                takes,
                polled: polls,
            };
            let provider: Box<dyn Provider> = Box::new(Polling::new(source, secs(3600)));
            let task = tokio::spawn(provider.run(feed));
            Self {
                observed,
                polled,
                signals,
                task,
            }
        }

        async fn observation(&mut self) -> Observation {
            self.observed.recv().await.unwrap().observation
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_is_told_once_whatever_its_details() {
        let answer = |text: &str| {
            let notice = Notice {
                about: "the same thing".into(),
                text: text.into(),
            };
            Ok(Answer {
                notices: vec![notice],
                ..Answer::new(names(&["a@h"]), None)
            })
        };
        let mut rig = Rig::start(Duration::ZERO, [answer("first"), answer("second")]);
        let snapshot = Observation::Snapshot(names(&["a@h"]));
        assert_eq!(rig.observation().await, snapshot);
        assert_eq!(rig.observation().await, Observation::Notice("first".into()));
        assert_eq!(rig.observation().await, snapshot);
        assert_eq!(rig.observation().await, Observation::Failed("end".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn snapshots_are_sorted_without_duplicates_and_failures_told() {
        let mut rig = Rig::start(
            Duration::ZERO,
            [
                Ok(Answer::new(names(&["b@h", "a@h", "b@h"]), None)),
                failed("no server"),
            ],
        );
        assert_eq!(
            rig.observation().await,
            Observation::Snapshot(names(&["a@h", "b@h"]))
        );
        assert_eq!(
            rig.observation().await,
            Observation::Failed("no server".into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_partial_answer_is_a_snapshot_only_when_it_is_news() {
        let partial = |nodes: &[&str]| {
            Ok(Answer {
                notices: vec![],
                nodes: names(nodes),
                ttl: None,
                ports: vec![],
                trouble: Some(PollError("half".into())),
            })
        };
        let mut rig = Rig::start(
            Duration::ZERO,
            [
                partial(&["a@h"]),
                partial(&["a@h"]),
                Ok(Answer::new(names(&["a@h"]), None)),
            ],
        );
        let snapshot = Observation::Snapshot(names(&["a@h"]));
        let half = Observation::Failed("half".into());
        for expected in [&snapshot, &half, &half, &snapshot] {
            assert_eq!(&rig.observation().await, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_asks_at_once_and_once_more_if_a_poll_was_under_way() {
        let same = || Ok(Answer::new(names(&["a@h"]), None));
        let mut rig = Rig::start(secs(1), std::iter::repeat_with(same).take(60));
        let first = rig.polled.recv().await.unwrap();
        rig.signals.refresh();
        let second = rig.polled.recv().await.unwrap();
        assert_eq!(second - first, secs(1), "no pause after the poll");
        // In the middle of a long pause.
        for _ in 0..30 {
            rig.polled.recv().await;
        }
        tokio::time::sleep(secs(30)).await;
        rig.signals.refresh();
        let asked = Instant::now();
        assert_eq!(rig.polled.recv().await.unwrap(), asked);
        let next = rig.polled.recv().await.unwrap();
        assert!(next - asked < secs(2), "and the pace is quick again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_a_pause_and_a_poll_under_way() {
        for takes in [Duration::ZERO, secs(1_000_000)] {
            let mut rig = Rig::start(takes, []);
            rig.polled.recv().await;
            tokio::task::yield_now().await;
            let asked = Instant::now();
            rig.signals.stop();
            rig.task.await.unwrap();
            assert_eq!(Instant::now(), asked);
        }
    }
}
