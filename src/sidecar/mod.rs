//! The sidecar: it attaches to a BEAM node as a hidden node, and joins that node to its peers.
//!
//! The release beside it needs no change. What it sees is a hidden node, which `nodes()` leaves out, one
//! process that tells the sidecar which nodes come and go (`watch`), and calls of
//! `net_kernel:connect_node/1` for the peers that the engine wants (`hands`).
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
mod hands;
mod name;
mod report;
mod session;
mod signal;
mod watch;

use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::Policy;
use crate::cluster::driver::{SetupError, Source};
use crate::config::REFRESH_INTERVAL;
use crate::dist::{CloseReason, ConnectError, Tls};
use crate::epmd::DEFAULT_PORT;
use crate::name::NodeName;
use crate::node::{Node, Registration, StartError};
use crate::secret::Secret;

pub use name::own_name;
pub use signal::stop_signal;

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
}

/// A sidecar that is ready to run.
#[derive(Debug)]
pub struct Sidecar {
    node: Node,
    options: AttachOptions,
    sources: Vec<Source>,
}

/// How a session ended.
#[derive(Debug)]
enum Ended {
    Stopped,
    Lost(CloseReason),
}

impl Sidecar {
    /// Starts the hidden node. It registers with EPMD as soon as there is one.
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
        let mut builder = Node::builder(name)
            .cookie(options.cookie.clone())
            .registration(Registration::WhenPossible)
            .epmd_port(options.epmd_port);
        if let Some(tls) = &options.tls {
            builder = builder.tls(tls.clone());
        }
        Ok(Self {
            node: builder.start().await?,
            options,
            sources,
        })
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
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), SidecarError> {
        let mut stop = std::pin::pin!(stop);
        let ended = self.attach_again_and_again(stop.as_mut()).await;
        self.node.stop().await;
        ended
    }

    async fn attach_again_and_again(
        &self,
        mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), SidecarError> {
        let target = &self.options.node;
        let mut attached_before = false;
        let mut refusals = 0;
        let mut pause = PAUSES.0;
        // What was said last, so that a node that stays away is not told of every few seconds.
        let mut said: Option<String> = None;
        loop {
            let connected = tokio::select! {
                () = &mut stop => return Ok(()),
                connected = self.node.connect(target) => connected,
            };
            match connected {
                Ok(connection) => {
                    (attached_before, refusals, pause, said) = (true, 0, PAUSES.0, None);
                    tracing::info!(node = %target, own = %self.node.name(), "attached");
                    match session::run(self, &connection, stop.as_mut()).await? {
                        Ended::Stopped => return Ok(()),
                        Ended::Lost(reason) => {
                            tracing::warn!(node = %target, "the attached node is lost: {reason}; trying again");
                        }
                    }
                }
                Err(error) => {
                    if matches!(error, ConnectError::Cookie { .. }) {
                        refusals += 1;
                        if !attached_before || refusals >= COOKIE_REFUSALS {
                            return Err(SidecarError::Cookie(error));
                        }
                    }
                    let message = error.to_string();
                    if said.as_ref() == Some(&message) {
                        tracing::debug!(node = %target, "still not attached: {message}");
                    } else {
                        tracing::warn!(
                            node = %target, reason = error.reason(),
                            "not attached: {message}; trying again"
                        );
                        said = Some(message);
                    }
                }
            }
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}
