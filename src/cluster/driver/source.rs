//! A provider as a driver runs it: made, watched over, and made again when it breaks.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::cluster::ProviderId;
use crate::config::{ClusterConfig, ConfigError, Via};
use crate::discovery::{
    Context, External, Observation, Observed, Provider, SharedCounts, Signal, SignalSender, build,
    feed,
};
use crate::panics::words;

/// The wait before a provider that broke is made again, and the longest such wait.
const RESTART_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A provider that ran this long before it broke is made again as soon as at first.
const STABLE: Duration = Duration::from_secs(60);

type Make = Arc<dyn Fn() -> Result<Box<dyn Provider>, String> + Send + Sync>;

/// One of a cluster's providers, as yet only described.
#[derive(Clone)]
pub struct Source {
    name: String,
    kind: &'static str,
    make: Make,
    warning: Option<String>,
    keep_for: Duration,
}

impl Source {
    /// A source of this kind, the word after `via`, which is also its name until [`Source::named`].
    ///
    /// `make` makes the provider, and again one after it broke. Its error is shown as the provider's,
    /// and it is called again later.
    #[must_use]
    pub fn new(
        kind: &'static str,
        make: impl Fn() -> Result<Box<dyn Provider>, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: kind.to_owned(),
            kind,
            make: Arc::new(make),
            warning: None,
            keep_for: Duration::ZERO,
        }
    }

    /// A source whose provider runs elsewhere and speaks through `Handle::observe` under this name.
    #[must_use]
    pub fn external(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: External.kind(),
            make: Arc::new(|| Ok(Box::new(External))),
            warning: None,
            keep_for: Duration::ZERO,
        }
    }

    /// Gives it another name, which events and the status show.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Has its names kept for this long after its answers began to leave them out; see
    /// [`Provider::keep_for`]. [`sources`] asks the provider itself.
    #[must_use]
    pub fn keeping(mut self, keep_for: Duration) -> Self {
        self.keep_for = keep_for;
        self
    }

    /// How long a name is kept that its answers leave out.
    #[must_use]
    pub fn keep_for(&self) -> Duration {
        self.keep_for
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The word after `via`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What the provider says of its safety: see [`Provider::warning`]. The driver logs it when it begins.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Whether its provider runs elsewhere.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.kind == External.kind()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `make` holds can be a secret.
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The sources that a configuration names, in its order. Of two of one kind the second is called `dns#2`.
///
/// # Errors
/// What [`build`] says: each provider is made once and dropped, so that what is missing shows now and not
/// as a failure that comes again and again.
pub fn sources(config: &ClusterConfig, context: &Context) -> Result<Vec<Source>, ConfigError> {
    let mut sources: Vec<Source> = Vec::with_capacity(config.via.len());
    for via in &config.via {
        let source = if let Via::External(module) = via {
            Source::external(module)
        } else {
            let provider = build(via, context)?;
            let (warning, keep_for) = (provider.warning(), provider.keep_for());
            let before = sources.iter().filter(|s| s.kind() == via.kind()).count();
            let (via, context) = (via.clone(), context.clone());
            let mut source = Source::new(via.kind(), move || {
                build(&via, &context).map_err(|error| error.to_string())
            });
            source.warning = warning;
            source.keep_for = keep_for;
            match before {
                0 => source,
                _ => {
                    let name = format!("{}#{}", source.kind(), before + 1);
                    source.named(name)
                }
            }
        };
        sources.push(source);
    }
    Ok(sources)
}

/// What a provider at work shows of itself beside its observations.
#[derive(Default)]
pub(super) struct Progress {
    restarts: AtomicU32,
    counters: Mutex<Option<SharedCounts>>,
}

impl Progress {
    /// How often the provider was made again.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// What the provider counted since it was last made.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.as_ref().map_or_else(Vec::new, |c| c.counts())
    }

    fn began(&self, counters: Option<SharedCounts>) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}

/// Ends a task with the one that waits for it.
struct Bound<T>(JoinHandle<T>);

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a source until it is told to stop. A provider that panics, ends by itself or cannot be made is
/// made again, after a wait that grows; in the meantime what it said stands. Each time counts in
/// `progress`.
pub(super) async fn supervise(
    source: Source,
    id: ProviderId,
    observations: mpsc::Sender<Observed>,
    signals: Arc<SignalSender>,
    progress: Arc<Progress>,
) {
    let (shortest, longest) = RESTART_BACKOFF;
    let mut backoff = shortest;
    loop {
        let started = Instant::now();
        let make = Arc::clone(&source.make);
        let its_feed = feed(id, observations.clone(), &signals);
        // A task of its own, so that a panic ends there.
        let its_progress = Arc::clone(&progress);
        let mut running = Bound(tokio::spawn(async move {
            let provider = make()?;
            its_progress.began(provider.counters());
            provider.run(its_feed).await;
            Ok::<(), String>(())
        }));
        let ended = (&mut running.0).await;
        let mut feed = feed(id, observations.clone(), &signals);
        if told_to_stop(&mut feed).await {
            return;
        }
        if started.elapsed() >= STABLE {
            backoff = shortest;
        }
        let cause = match ended {
            Ok(Ok(())) => "it ended by itself, which is a mistake in the provider".to_owned(),
            Ok(Err(error)) => error,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => format!("it crashed, which is a mistake in it: {}", words(&*panic)),
                // The runtime is going down.
                Err(_) => return,
            },
        };
        feed.tell(Observation::Failed(format!(
            "{}: {cause}; started again in {backoff:?}",
            source.name
        )))
        .await;
        tokio::select! {
            () = sleep(backoff) => {}
            // A refresh is a wish to try now.
            signal = feed.signal() => if signal == Signal::Stop { return },
        }
        progress.restarts.fetch_add(1, Ordering::Relaxed);
        backoff = (backoff * 2).min(longest);
    }
}

async fn told_to_stop(feed: &mut crate::discovery::Feed) -> bool {
    tokio::select! {
        biased;
        signal = feed.signal() => signal == Signal::Stop,
        () = std::future::ready(()) => false,
    }
}
