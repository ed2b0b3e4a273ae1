//! A running cluster, as Erlang holds it.

use std::sync::Arc;

use rendez::cluster::Action;
use rendez::cluster::driver::{Driver, DriverError, Handle, Outlet, Setup, Source, sources};
use rendez::cluster::report::Line;
use rendez::config::{ClusterConfig, Value};
use rendez::discovery::{Context, Observation};
use rendez::{NodeName, Secret};
use rustler::{Env, LocalPid, Monitor, Reference, Resource, ResourceArc, Term};

use crate::decode::{self, Report};
use crate::mailbox::{Mailbox, SavedReference};
use crate::{atoms, encode, runtime};

/// What Erlang has a handle to. The cluster stops with it, since it holds the one handle to the driver.
pub struct Cluster {
    driver: Handle,
    mailbox: Arc<Mailbox>,
}

#[rustler::resource_impl]
impl Resource for Cluster {
    /// The owner died.
    fn down<'a>(&'a self, _env: Env<'a>, _owner: LocalPid, _monitor: Monitor) {
        self.driver.stop();
    }
}

/// What the engine decides becomes messages to the owner.
struct ToOwner {
    mailbox: Arc<Mailbox>,
    sources: Vec<Source>,
}

impl Outlet for ToOwner {
    fn deliver(&mut self, action: Action) {
        self.mailbox
            .send(|env| encode::action(env, &action, &self.sources));
    }

    fn connect(&mut self, node: NodeName, port: u16) {
        self.mailbox.send(|env| encode::connect(env, &node, port));
    }

    fn log(&mut self, line: Line) {
        self.mailbox.send(|env| encode::line(env, &line));
    }
}

/// Options, and who wants them.
pub struct Configuration {
    /// The own node; `None` for one that is not alive.
    pub context: Context,
    /// The providers and the policy.
    pub cluster: ClusterConfig,
}

impl Configuration {
    /// The providers, to be run.
    ///
    /// # Errors
    /// A sentence for people: something is missing that only shows once the node is known.
    pub fn sources(&self) -> Result<Vec<Source>, String> {
        sources(&self.cluster, &self.context).map_err(|error| error.to_string())
    }

    /// Rejects what a start would reject. The node may not be alive yet: another name and cookie then stand in for its own.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn check(mut self) -> Result<(), String> {
        if self.context.own.is_none() {
            self.context.own = "rendez@127.0.0.1".parse().ok();
        }
        if self.context.cookie.is_none() {
            self.context.cookie = Some(Secret::new("none yet"));
        }
        self.sources().map(|_| ())
    }
}

/// Reads `Options`: those of a cluster, and `node` and `cookie`.
///
/// # Errors
/// A sentence for people.
pub fn configuration(options: Term) -> Result<Configuration, String> {
    let Value::Table(mut entries) = decode::options(options)? else {
        return Err("the options have to be a map".into());
    };
    let mut take = |name: &str| {
        let index = entries.iter().position(|(key, _)| key == name)?;
        entries.remove(index).1.text()
    };
    let own = take("node")
        .map(|node| {
            node.parse::<NodeName>()
                .map_err(|why| format!("{node:?} is no node name: {why}"))
        })
        .transpose()?;
    let cookie = take("cookie").map(Secret::new);
    let cluster =
        ClusterConfig::from_value(&Value::Table(entries)).map_err(|error| error.to_string())?;
    Ok(Configuration {
        context: Context { own, cookie },
        cluster,
    })
}

impl Cluster {
    /// Starts a cluster for `owner`; with it goes the tag of its messages.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn start<'a>(
        env: Env<'a>,
        owner: LocalPid,
        options: Term<'a>,
    ) -> Result<(ResourceArc<Self>, Reference<'a>), String> {
        let configuration = configuration(options)?;
        let mut setup = Setup::new(configuration.context.own.clone());
        setup.policy = configuration.cluster.policy.clone();
        let sources = configuration.sources()?;
        let tag = env.make_ref();
        let mailbox = Arc::new(Mailbox::new(owner, tag));
        let outlet = ToOwner {
            mailbox: Arc::clone(&mailbox),
            sources: sources.clone(),
        };
        let (driver, handle) =
            Driver::new(setup, sources, outlet).map_err(|error| error.to_string())?;
        let runtime = runtime::runtime()?;
        let cluster = ResourceArc::new(Self {
            driver: handle,
            mailbox: Arc::clone(&mailbox),
        });
        if env.monitor(&cluster, &owner).is_none() {
            return Err("the owner of the cluster is not alive".into());
        }
        // The driver writes the lines of its providers, and knows nothing of those that are left out.
        let off = configuration.cluster.off.iter();
        let left_out: Vec<(String, String)> = off
            .map(|why| {
                // As the user wrote it: via.dns.dns_name is nil.
                let words = why.strip_prefix("via.").map(|rest| rest.split(['.', ' ']));
                let provider = words.and_then(|mut words| words.next()).unwrap_or("via");
                (
                    provider.to_owned(),
                    format!("{why}, so that this provider is left out"),
                )
            })
            .collect();
        let sources = cluster.driver.sources().iter();
        let warnings: Vec<(String, String)> = sources
            .filter_map(|source| Some((source.name().to_owned(), source.warning()?.to_owned())))
            .chain(left_out.iter().cloned())
            .collect();
        runtime.spawn(async move {
            // Not from the call: a scheduler must not send with an environment of its own.
            for (provider, warning) in &warnings {
                mailbox.send(|env| encode::warning(env, provider, warning));
            }
            for (provider, warning) in &left_out {
                mailbox.send(|env| encode::warning_line(env, provider, warning));
            }
            // A task of its own, so that a panic ends there.
            match tokio::spawn(driver.run()).await {
                Ok(()) => mailbox.send(|env| atoms::stopped().to_term(env)),
                Err(error) => {
                    let message = match error.try_into_panic() {
                        Ok(panic) => format!(
                            "the native side crashed, which is a mistake in it: {}",
                            rendez::panics::words(&*panic)
                        ),
                        Err(error) => error.to_string(),
                    };
                    mailbox.send(|env| {
                        use rustler::Encoder;
                        (atoms::stopped(), message).encode(env)
                    });
                }
            }
        });
        Ok((cluster, tag))
    }

    /// The providers say goodbye, then the owner gets `stopped`.
    pub fn stop(&self) {
        self.driver.stop();
    }

    /// What a provider that runs in the BEAM learnt.
    pub fn observe(&self, provider: &str, observation: Observation) -> Result<(), String> {
        answer(self.driver.observe(provider, observation))
    }

    /// What became of a connection.
    pub fn report(&self, report: Report) -> Result<(), String> {
        answer(match report {
            Report::Up(node) => self.driver.up(node),
            Report::UpHidden(node) => self.driver.up_hidden(node),
            Report::Down(node, reason) => self.driver.down(node, reason),
            Report::Attempt(node, result) => self.driver.connect_result(node, result),
        })
    }

    /// The owner gets the status, with `tag`.
    pub fn status(&self, tag: Reference) -> Result<(), String> {
        let mailbox = Arc::clone(&self.mailbox);
        let tag = SavedReference::new(tag);
        answer(self.driver.status_with(move |status| {
            mailbox.send(|env| {
                use rustler::Encoder;
                (atoms::status(), tag.load(env), encode::status(env, &status)).encode(env)
            });
        }))
    }

    /// Every provider looks now.
    pub fn refresh(&self) -> Result<(), String> {
        answer(self.driver.refresh())
    }
}

fn answer(result: Result<(), DriverError>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}
