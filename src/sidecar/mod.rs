//! The sidecar: it attaches to a BEAM node as a hidden node, and joins that node to its peers.
//!
//! The release beside it needs no change. What it sees is a hidden node, which `nodes()` leaves out, one
//! process that tells the sidecar which nodes come and go (`watch`), and calls of
//! `net_kernel:connect_node/1` for the peers that the engine wants (`hands`). Nodes that no provider names any longer
//! leave by themselves, as it asks them to (`leave`, `removals`).
//!
//! A sidecar runs one *session* after the other: it connects to its node, starts the providers and an engine
//! in the name of that node, and stops them, goodbye included, when the connection is lost. While the node is
//! away nobody announces it, and when it is back everything starts from nothing.
//!
//! ```no_run
//! # async fn example(sources: Vec<rendez::cluster::driver::Source>) -> Result<(), Box<dyn std::error::Error>> {
//! use rendez::sidecar::{AttachOptions, Sidecar, stop_signal};
//! use rendez::Secret;
//!
//! let options = AttachOptions::new("shop@10.0.0.7".parse()?, Secret::new("cookie"));
//! Sidecar::start(options, sources).await?.run(stop_signal()?).await?;
//! # Ok(()) }
//! ```

mod connector;
mod eval;
mod hands;
mod leave;
mod name;
mod removals;
mod session;
mod signal;
mod status;
mod watch;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::cluster::Policy;
use crate::cluster::driver::{SetupError, Source};
use crate::config::REFRESH_INTERVAL;
use crate::dist::{CloseReason, ConnectError, Tls};
use crate::epmd::DEFAULT_PORT;
use crate::name::NodeName;
use crate::node::{Node, Registration, StartError};
use crate::secret::Secret;

pub use name::own_name;
pub use signal::{status_signal, stop_signal};

/// The pause after a first failed attempt to attach, and the longest. Each is cut to a random part of it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How often in a row a node that was attached before may refuse the cookie. The port of a node that just ended
/// can belong to another one for a moment.
const COOKIE_REFUSALS: u32 = 3;

/// To whom to attach, and how.
#[derive(Debug, Clone)]
pub struct AttachOptions {
    /// The node to attach to.
    pub node: NodeName,
    /// Its cookie.
    pub cookie: Secret,
    /// The name of the hidden node; `None` for [`own_name`].
    pub name: Option<NodeName>,
    /// The port of EPMD on every host. Default: 4369; see [`crate::epmd::port_from_env`].
    pub epmd_port: u16,
    /// The port on which every node listens, if they run without EPMD, as with `-start_epmd false -erl_epmd_port`.
    pub port: Option<u16>,
    /// How TLS is spoken with every node, if it is.
    pub tls: Option<Tls>,
    /// What the engine goes by.
    pub policy: Policy,
    /// Whether the attached node makes hidden connections to its peers. Default: visible ones.
    pub hidden: bool,
    /// How often the attached node is asked whom it is connected to, beside the notices that it sends.
    pub refresh_interval: Duration,
}

impl AttachOptions {
    /// The defaults.
    #[must_use]
    pub fn new(node: NodeName, cookie: Secret) -> Self {
        Self {
            node,
            cookie,
            name: None,
            epmd_port: DEFAULT_PORT,
            port: None,
            tls: None,
            policy: Policy::default(),
            hidden: false,
            refresh_interval: REFRESH_INTERVAL,
        }
    }
}

/// Why a sidecar ended although nobody stopped it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// The hidden node did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The providers are not those of a cluster.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The cookie is wrong, which waiting does not change: the sidecar has to be started anew, with another.
    #[error(transparent)]
    Cookie(ConnectError),
    /// A part of it panicked or ended by itself.
    #[error("the sidecar ends, because a part of it failed, which is a mistake in Rendez: {0}")]
    Broken(String),
}

/// Wishes to have the status written into the log, if anybody has one.
type StatusRequests = Option<mpsc::Receiver<()>>;

/// Waits for the next wish.
async fn requested(requests: &mut StatusRequests) {
    if let Some(receiver) = requests {
        if receiver.recv().await.is_some() {
            return;
        }
        *requests = None;
    }
    std::future::pending().await
}

/// A sidecar that is ready to run.
#[derive(Debug)]
pub struct Sidecar {
    node: Node,
    options: AttachOptions,
    sources: Vec<Source>,
    statuses: StatusRequests,
}

/// How a session ended.
#[derive(Debug)]
enum Ended {
    Stopped,
    Lost(CloseReason),
}

impl Sidecar {
    /// Starts the hidden node. It connects and is not connected to: it listens nowhere, and EPMD does not list it.
    ///
    /// `sources` are the providers, which look and announce in the name of the attached node.
    ///
    /// # Errors
    /// [`SidecarError::Start`].
    pub async fn start(options: AttachOptions, sources: Vec<Source>) -> Result<Self, SidecarError> {
        let name = match &options.name {
            Some(name) => name.clone(),
            None => own_name(&options.node).await,
        };
        let mut builder = Node::builder(name).cookie(options.cookie.clone());
        if let Some(port) = options.port {
            builder = builder.port_of_all(port);
        }
        builder = builder
            .registration(Registration::None)
            .take_over(false)
            .epmd_port(options.epmd_port);
        if let Some(tls) = &options.tls {
            builder = builder.tls(tls.clone());
        }
        Ok(Self {
            node: builder.start().await?,
            options,
            sources,
            statuses: None,
        })
    }

    /// Has the status written into the log whenever something comes: see [`status_signal`].
    #[must_use]
    pub fn status_on(mut self, requests: mpsc::Receiver<()>) -> Self {
        self.statuses = Some(requests);
        self
    }

    /// The hidden node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Attaches, and attaches again whenever the node was away, until `stop` is ready. Then the providers say
    /// goodbye, and the hidden node leaves.
    ///
    /// # Errors
    /// See [`SidecarError`].
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), SidecarError> {
        let (target, own) = (&self.options.node, self.node.name());
        let providers: Vec<_> = self.sources.iter().map(Source::name).collect();
        let providers = providers.join(", ");
        tracing::info!(
            event = "starting", phrase = "starting", version = env!("CARGO_PKG_VERSION"), attached = %target,
            provider = providers,
            "rendez {} attaches to {target} as the hidden node {own}, and finds its peers by {providers}",
            env!("CARGO_PKG_VERSION")
        );
        let mut statuses = self.statuses.take();
        let mut stop = std::pin::pin!(stop);
        let ended = self
            .attach_again_and_again(&mut statuses, stop.as_mut())
            .await;
        self.node.stop().await;
        ended
    }

    async fn attach_again_and_again(
        &self,
        statuses: &mut StatusRequests,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), SidecarError> {
        let target = &self.options.node;
        let mut attached_before = false;
        let mut refusals = 0;
        let mut pause = PAUSES.0;
        // What was said last, so that a node that stays away is not told of every few seconds.
        let mut said: Option<String> = None;
        // What another one with this name keeps it from.
        let mut in_use = false;
        loop {
            let connected = tokio::select! {
                () = &mut stop => return Ok(()),
                connected = self.node.connect(target) => connected,
            };
            match connected {
                Ok(connection) => {
                    (attached_before, refusals, said, in_use) = (true, 0, None, false);
                    tracing::info!(
                        event = "attached", phrase = "attached", attached = %target, own = %self.node.name(),
                        "attached to {target}"
                    );
                    let since = Instant::now();
                    match session::run(self, &connection, statuses, stop.as_mut()).await? {
                        Ended::Stopped => return Ok(()),
                        Ended::Lost(reason) => {
                            tracing::warn!(
                                event = "attached_lost", phrase = "the attached node is lost", attached = %target,
                                "lost {target} ({reason}); waiting for it to come back"
                            );
                        }
                    }
                    // A node that hangs up at once is not dialled in a tight loop.
                    if since.elapsed() >= self.options.policy.stable_after {
                        pause = PAUSES.0;
                    }
                }
                Err(error) => {
                    if matches!(error, ConnectError::Cookie { .. }) {
                        refusals += 1;
                        if !attached_before || refusals >= COOKIE_REFUSALS {
                            return Err(SidecarError::Cookie(error));
                        }
                    }
                    let message = not_attached(
                        &error,
                        std::mem::replace(
                            &mut in_use,
                            matches!(error, ConnectError::NameInUse { .. }),
                        ),
                    );
                    match message {
                        Some(message) if said.as_ref() != Some(&message) => {
                            tracing::warn!(
                                event = "attach_failed", phrase = "not attached", attached = %target,
                                reason = error.reason(), "not attached to {target}: {message}; trying again"
                            );
                            said = Some(message);
                        }
                        _ => tracing::debug!(
                            event = "attach_failed", phrase = "not attached", attached = %target,
                            reason = error.reason(), "still not attached to {target}: {error}"
                        ),
                    }
                }
            }
            let waited = sleep(pause.mul_f64(rand::random_range(0.5..1.0)));
            tokio::pin!(waited);
            loop {
                tokio::select! {
                    () = &mut stop => return Ok(()),
                    () = &mut waited => break,
                    () = requested(statuses) => tracing::info!(
                        event = "status", phrase = "status", attached = %target, "status: not attached to {target}{}",
                        said.as_ref().map_or_else(String::new, |said| format!(": {said}"))
                    ),
                }
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// What is said of an attempt to attach that failed; nothing if it may be over in a moment. `again`: the one before
/// failed because of the name as well.
fn not_attached(error: &ConnectError, again: bool) -> Option<String> {
    match error {
        ConnectError::NameInUse { own, .. } => {
            // An earlier run of this sidecar that was killed a moment ago is another one too.
            again.then(|| {
                format!(
                    "another sidecar with this name, {own}, is attached to it; end one of the two, or give this one \
                     another name with --name"
                )
            })
        }
        error => Some(error.to_string()),
    }
}
