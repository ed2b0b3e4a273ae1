//! Looks once, with no cluster to keep: `rendez discover` and the package's `resolve`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{OBSERVATIONS, SetupError, Source, supervise};
use crate::cluster::ProviderId;
use crate::discovery::{Observation, Observed, SignalSender};
use crate::name::NodeName;

/// A provider that knows a part tells that part first and then what failed. This is the time for the
/// second half.
const SECOND_HALF: Duration = Duration::from_millis(20);

/// What a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// All nodes that were named.
    pub nodes: BTreeSet<NodeName>,
    /// The sources that failed, with the cause and the remedy.
    pub failed: Vec<(String, String)>,
    /// The sources that had said nothing when the time was over. To a source of announcements that is an
    /// answer: nobody announced itself.
    pub silent: Vec<String>,
}

/// Asks each source once, side by side.
///
/// Returns when each has answered or failed, at the latest after `within`. A source of announcements never
/// gives a complete answer, so with one of them the look takes the whole time.
///
/// For a look that goes on, run a [`super::Driver`] with [`super::Setup::watch`].
///
/// # Errors
/// [`SetupError::TooManyProviders`].
pub async fn look(sources: &[Source], within: Duration) -> Result<Found, SetupError> {
    if sources.is_empty() {
        return Ok(Found::default());
    }
    let deadline = Instant::now() + within;
    let signals = Arc::new(SignalSender::new());
    let (sender, mut observations) = mpsc::channel(OBSERVATIONS);
    // Dropped at the end, and the providers with it: nobody was announced, so no goodbye is due.
    let mut providers = JoinSet::new();
    let mut views: Vec<View> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let id = ProviderId::new(index).ok_or(SetupError::TooManyProviders(sources.len()))?;
        providers.spawn(supervise(
            source.clone(),
            id,
            sender.clone(),
            Arc::clone(&signals),
            Arc::default(),
        ));
        views.push(View::default());
    }
    let mut until = deadline;
    while let Ok(Some(observed)) = timeout_at(until, observations.recv()).await {
        let Observed {
            provider,
            observation,
        } = observed;
        views[provider.index()].take(observation);
        if views.iter().all(|view| view.spoke) {
            until = until.min(Instant::now() + SECOND_HALF);
        }
    }
    let mut found = Found::default();
    for (source, view) in sources.iter().zip(views) {
        let name = source.name().to_owned();
        if let Some(error) = view.error {
            found.failed.push((name, error));
        } else if !view.spoke && view.nodes.is_empty() {
            found.silent.push(name);
        }
        found.nodes.extend(view.nodes);
    }
    Ok(found)
}

/// What one source said.
#[derive(Default)]
struct View {
    nodes: BTreeSet<NodeName>,
    error: Option<String>,
    /// It gave a complete answer or failed.
    spoke: bool,
}

impl View {
    fn take(&mut self, observation: Observation) {
        match observation {
            Observation::Snapshot(nodes) => {
                self.nodes = nodes.into_iter().collect();
                self.error = None;
                self.spoke = true;
            }
            Observation::Failed(error) => {
                self.error = Some(error);
                self.spoke = true;
            }
            Observation::Seen(node, _) | Observation::Started(node, _) => {
                self.nodes.insert(node);
            }
            Observation::Gone(node) => {
                self.nodes.remove(&node);
            }
            Observation::Ports(_) | Observation::Notice(_) => {}
        }
    }
}
