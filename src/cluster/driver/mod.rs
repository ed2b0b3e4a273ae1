//! Runs a cluster: its providers, and the engine that their news goes to.
//!
//! [`Driver::new`] gives the driver, a future to spawn, and a [`Handle`] to it. What the engine decides
//! goes to an [`Outlet`]: in the package that sends messages to a `gen_server`, in the sidecar it calls
//! the attached node. What comes of it comes back through the handle.
//!
//! The only clock is tokio's, so a test can pause it.

mod inbox;
mod look;
mod ports;
mod sleep;
mod source;
mod status;

pub use look::{Found, look};
pub use source::{Source, sources};
pub use status::{NodeStatus, ProviderStatus, Status};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::inbox::{Inbox, Report, Wishes};
use self::ports::Ports;
use self::sleep::{Clocks, LOOK, Sleep, system_clocks};
use self::source::{Progress, supervise};
use super::report::{Line, Reporter};
use super::{Action, ConnectError, Engine, Input, Policy, ProviderId};
use crate::discovery::{Observation, Observed, SignalSender};
use crate::name::NodeName;

/// Observations that providers have made and the driver has not yet seen; a provider waits when there are
/// more. The driver takes all of them in one go.
const OBSERVATIONS: usize = 64;

/// Carries out what the engine decides.
///
/// It is called on the driver's task and must not block: it sends a message, puts into a channel, or
/// spawns. A `FnMut(Action)` is one.
pub trait Outlet: Send + 'static {
    /// Takes the next action.
    fn deliver(&mut self, action: Action);

    /// Takes an [`Action::Connect`] to a node that listens on `port`, as a provider says; by default as
    /// any other. Without a known port [`Self::deliver`] is called.
    fn connect(&mut self, node: NodeName, port: u16) {
        let _ = port;
        self.deliver(Action::Connect(node));
    }

    /// Receives each line for the log. The default implementation drops it; [`Line::trace`] writes it through
    /// `tracing`.
    fn log(&mut self, line: Line) {
        let _ = line;
    }
}

impl<F: FnMut(Action) + Send + 'static> Outlet for F {
    fn deliver(&mut self, action: Action) {
        self(action);
    }
}

/// Why the driver did not take what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// So much waits for the driver that it takes no more; nothing was changed. Try again later.
    #[error("the cluster's driver has too much to do at present; try again later")]
    Busy,
    /// The driver has ended.
    #[error("the cluster has been stopped")]
    Stopped,
    /// There is no external provider of that name.
    #[error("the cluster has no external provider {0:?}; only such a provider can be spoken for")]
    NotExternal(String),
}

/// Why sources are not those of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// There are more than [`ProviderId::MAX`].
    #[error("a cluster has at most {max} providers; {0} are given", max = ProviderId::MAX)]
    TooManyProviders(usize),
    /// Two have one name.
    #[error("two providers are called {0:?}; give each a name of its own")]
    SameName(String),
}

/// What a driver goes by.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The node that wants peers, which is never connected to; `None` when someone only looks.
    pub own: Option<NodeName>,
    /// What the engine goes by.
    pub policy: Policy,
    /// Where the engine's random numbers begin; `None` for anywhere.
    pub seed: Option<u64>,
    /// How long the providers may take to say goodbye when the driver stops. Default: 1 s.
    pub goodbye: Duration,
}

impl Setup {
    /// The own node under the default policy.
    #[must_use]
    pub fn new(own: Option<NodeName>) -> Self {
        Self {
            own,
            policy: Policy::default(),
            seed: None,
            goodbye: Duration::from_secs(1),
        }
    }

    /// For someone who only looks: every node is told of, none is connected to.
    #[must_use]
    pub fn watch() -> Self {
        let mut setup = Self::new(None);
        setup.policy.max_connecting = 0;
        setup
    }
}

/// Tells a driver what happened and what is wanted. Cheap to clone.
///
/// No method waits, so all of them can be called from a scheduler of the BEAM. Instead of growing without
/// end, what waits for the driver is folded: of many reports about one node the last ones count, of several
/// complete answers of a provider the last one does. Only when a hundred thousand nodes wait at once does
/// a method say [`DriverError::Busy`].
///
/// When the last handle is dropped, the driver stops.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    done: watch::Receiver<()>,
}

struct Shared {
    inbox: Arc<Inbox>,
    sources: Arc<[Source]>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.inbox.stop();
    }
}

impl Handle {
    /// A connection to the node exists, whoever made it.
    ///
    /// # Errors
    /// [`DriverError::Busy`], [`DriverError::Stopped`].
    pub fn up(&self, node: NodeName) -> Result<(), DriverError> {
        self.shared.inbox.report(node, Report::Up)
    }

    /// A connection to a hidden node exists: see [`Input::UpHidden`].
    ///
    /// # Errors
    /// [`DriverError::Busy`], [`DriverError::Stopped`].
    pub fn up_hidden(&self, node: NodeName) -> Result<(), DriverError> {
        self.shared.inbox.report(node, Report::UpHidden)
    }

    /// The connection to the node ended; `reason` says why, for people, as far as it is known.
    ///
    /// # Errors
    /// [`DriverError::Busy`], [`DriverError::Stopped`].
    pub fn down(&self, node: NodeName, reason: Option<String>) -> Result<(), DriverError> {
        self.shared.inbox.report(node, Report::Down(reason))
    }

    /// An [`Action::Connect`] came to its end.
    ///
    /// # Errors
    /// [`DriverError::Busy`], [`DriverError::Stopped`].
    pub fn connect_result(
        &self,
        node: NodeName,
        result: Result<(), ConnectError>,
    ) -> Result<(), DriverError> {
        self.shared.inbox.report(node, Report::Result(result))
    }

    /// Speaks for the external provider of this name.
    ///
    /// # Errors
    /// [`DriverError::NotExternal`], [`DriverError::Busy`], [`DriverError::Stopped`].
    pub fn observe(&self, provider: &str, observation: Observation) -> Result<(), DriverError> {
        let id = self
            .shared
            .sources
            .iter()
            .position(|source| source.is_external() && source.name() == provider)
            .and_then(ProviderId::new)
            .ok_or_else(|| DriverError::NotExternal(provider.to_owned()))?;
        self.shared.inbox.observe(id, observation)
    }

    /// Has every provider look now, and ends every waiting backoff.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub fn refresh(&self) -> Result<(), DriverError> {
        self.shared.inbox.refresh()
    }

    /// Has `callback` called with the status, soon, on the driver's task. It must not block.
    ///
    /// # Errors
    /// [`DriverError::Busy`], [`DriverError::Stopped`]; the callback is not called then.
    pub fn status_with(
        &self,
        callback: impl FnOnce(Status) + Send + 'static,
    ) -> Result<(), DriverError> {
        self.shared.inbox.status(Box::new(callback))
    }

    /// The status.
    ///
    /// # Errors
    /// [`DriverError::Busy`], [`DriverError::Stopped`].
    pub async fn status(&self) -> Result<Status, DriverError> {
        let (sender, receiver) = oneshot::channel();
        self.status_with(|status| {
            // Whoever asked may not wait any longer.
            let _ = sender.send(status);
        })?;
        receiver.await.map_err(|_| DriverError::Stopped)
    }

    /// The providers in their configured order, by which a [`ProviderId`] can be named.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.shared.sources
    }

    /// Ends the driver: the providers say goodbye, then it is over. Actions that were not yet taken are
    /// dropped.
    pub fn stop(&self) {
        self.shared.inbox.stop();
    }

    /// Waits until the driver has ended.
    pub async fn stopped(&self) {
        let mut done = self.done.clone();
        // Nothing is ever sent: an error means that the driver is gone.
        let _ = done.changed().await;
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("sources", &self.shared.sources)
            .finish_non_exhaustive()
    }
}

/// Runs a cluster's providers and its engine; see the [module](self).
#[must_use = "a driver does nothing until it is run"]
pub struct Driver<O> {
    engine: Engine,
    reporter: Reporter,
    ports: Ports,
    outlet: O,
    inbox: Arc<Inbox>,
    sources: Arc<[Source]>,
    progress: Vec<Arc<Progress>>,
    goodbye: Duration,
    /// The moment that the engine's time counts from.
    began: Instant,
    clocks: Box<dyn Fn() -> Clocks + Send + Sync>,
    _done: watch::Sender<()>,
}

impl<O: Outlet> Driver<O> {
    /// Makes a driver and its handle. Nothing happens before it is run.
    ///
    /// # Errors
    /// [`SetupError`] if the sources are too many or two have one name.
    pub fn new(
        setup: Setup,
        sources: Vec<Source>,
        outlet: O,
    ) -> Result<(Self, Handle), SetupError> {
        if sources.len() > ProviderId::MAX {
            return Err(SetupError::TooManyProviders(sources.len()));
        }
        for (index, source) in sources.iter().enumerate() {
            if sources[..index].iter().any(|s| s.name() == source.name()) {
                return Err(SetupError::SameName(source.name().to_owned()));
            }
        }
        let sources: Arc<[Source]> = sources.into();
        let inbox = Arc::new(Inbox::default());
        let (done_sender, done) = watch::channel(());
        let seed = setup.seed.unwrap_or_else(rand::random);
        let names = sources.iter().map(|source| source.name().to_owned());
        let mut engine = Engine::new(setup.own, setup.policy, seed);
        for (index, source) in sources.iter().enumerate() {
            if let Some(id) = ProviderId::new(index) {
                engine.set_keep_for(id, source.keep_for());
            }
        }
        let driver = Self {
            reporter: Reporter::new(names.collect()),
            engine,
            ports: Ports::default(),
            outlet,
            inbox: Arc::clone(&inbox),
            progress: sources.iter().map(|_| Arc::default()).collect(),
            sources: Arc::clone(&sources),
            goodbye: setup.goodbye,
            began: Instant::now(),
            clocks: Box::new(system_clocks()),
            _done: done_sender,
        };
        let shared = Arc::new(Shared { inbox, sources });
        Ok((driver, Handle { shared, done }))
    }

    /// Runs until [`Handle::stop`], or until the last handle is dropped.
    pub async fn run(mut self) {
        self.began = Instant::now();
        let signals = Arc::new(SignalSender::new());
        let (sender, mut observations) = mpsc::channel(OBSERVATIONS);
        let mut providers = JoinSet::new();
        for (index, source) in self.sources.iter().enumerate() {
            // `new` has counted them.
            let Some(id) = ProviderId::new(index) else {
                break;
            };
            if let Some(warning) = source.warning() {
                self.reporter.provider_warning(id, warning);
            }
            providers.spawn(supervise(
                source.clone(),
                id,
                sender.clone(),
                Arc::clone(&signals),
                Arc::clone(&self.progress[index]),
            ));
        }
        self.write();
        let mut batch = Vec::with_capacity(OBSERVATIONS);
        let mut sleep = Sleep::new((self.clocks)());
        let mut look = Instant::now() + LOOK;
        loop {
            let wakes = [self.engine.next_wake(), self.reporter.next_wake()];
            let wake = wakes
                .into_iter()
                .flatten()
                .min()
                .map(|wake| self.began + wake);
            let inbox = Arc::clone(&self.inbox);
            tokio::select! {
                () = inbox.rung() => {
                    let wishes = self.inbox.take();
                    if wishes.stop {
                        self.answer(wishes);
                        break;
                    }
                    self.grant(wishes, &signals);
                }
                _ = observations.recv_many(&mut batch, OBSERVATIONS) => {
                    for observed in batch.drain(..) {
                        self.observed(observed.provider, observed.observation);
                    }
                }
                () = at(wake) => {
                    self.reporter.wake(self.now());
                    self.handle(Input::Wake);
                }
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    if let Some(jump) = sleep.jump((self.clocks)()) {
                        self.woke_up(jump, &signals);
                    }
                }
            }
        }
        self.say_goodbye(&signals, providers, observations).await;
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.engine.handle(now, input);
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Connect(node) => {
                    let port = self.ports.of(&node);
                    self.reporter.connecting(&node, port);
                    match port {
                        Some(port) => self.outlet.connect(node, port),
                        None => self.outlet.deliver(Action::Connect(node)),
                    }
                }
                Action::Event(event) => {
                    self.reporter.handle(now, &event);
                    self.outlet.deliver(Action::Event(event));
                }
                other => self.outlet.deliver(other),
            }
        }
        self.write();
    }

    /// Hands out the lines for the log.
    fn write(&mut self) {
        while let Some(line) = self.reporter.poll_line() {
            self.outlet.log(line);
        }
    }

    /// What a provider learnt, for those who debug. What the engine tells of it is left to the engine.
    fn looked(&mut self, provider: ProviderId, observation: &Observation) {
        match observation {
            Observation::Snapshot(nodes) => self.reporter.looked(provider, Ok(nodes.len())),
            Observation::Failed(error) => {
                let mut views = self.engine.providers();
                let known =
                    views.any(|view| view.provider == provider && view.error == Some(error));
                if known {
                    self.reporter.looked(provider, Err(error));
                }
            }
            _ => {}
        }
    }

    fn observed(&mut self, provider: ProviderId, observation: Observation) {
        self.looked(provider, &observation);
        self.handle(match observation {
            Observation::Snapshot(nodes) => Input::Snapshot { provider, nodes },
            Observation::Failed(error) => Input::Failed { provider, error },
            Observation::Seen(node, ttl) => Input::Seen {
                provider,
                node,
                ttl,
            },
            Observation::Started(node, ttl) => Input::Started {
                provider,
                node,
                ttl,
            },
            Observation::Gone(node) => Input::Gone { provider, node },
            Observation::Ports(ports) => return self.ports.replace(provider, ports),
            Observation::Notice(message) => {
                let event = crate::cluster::Event::ProviderNotice { provider, message };
                self.reporter.handle(self.now(), &event);
                self.outlet.deliver(Action::Event(event));
                return self.write();
            }
        });
    }

    /// The machine slept, or its clock was set: what is known may be long out of date, here and at the peers.
    fn woke_up(&mut self, jump: Duration, signals: &SignalSender) {
        self.reporter.time_jumped(jump);
        self.write();
        signals.refresh();
        // Whoever turned reconnection off did not ask for it.
        if self.engine.policy().reconnect {
            self.handle(Input::Refresh);
        }
    }

    fn grant(&mut self, mut wishes: Wishes, signals: &SignalSender) {
        for input in wishes.take_reports() {
            self.handle(input);
        }
        for (provider, observation) in wishes.take_observations() {
            self.observed(provider, observation);
        }
        if wishes.refresh {
            signals.refresh();
            self.handle(Input::Refresh);
        }
        self.answer(wishes);
    }

    /// Answers who asked for the status.
    fn answer(&self, wishes: Wishes) {
        for callback in wishes.statuses {
            let progress = self.progress.iter().map(AsRef::as_ref);
            let sources = self.sources.iter().zip(progress);
            callback(status::status(&self.engine, self.now(), sources));
        }
    }

    async fn say_goodbye(
        &mut self,
        signals: &SignalSender,
        mut providers: JoinSet<()>,
        mut observations: mpsc::Receiver<Observed>,
    ) {
        signals.stop();
        let ended = async {
            loop {
                tokio::select! {
                    ended = providers.join_next() => if ended.is_none() { break },
                    // Nobody wants them any more, but a provider may wait to be rid of one.
                    _ = observations.recv() => {}
                }
            }
        };
        if timeout(self.goodbye, ended).await.is_err() {
            self.reporter.no_goodbye(providers.len(), self.goodbye);
            self.write();
        }
        // The rest are dropped with the set.
        self.answer(self.inbox.close());
    }
}

impl<O> Drop for Driver<O> {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl<O> fmt::Debug for Driver<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}

/// Waits for a moment, for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
