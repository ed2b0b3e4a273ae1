//! Where the names of peers come from: the [`Provider`] trait and one module a provider.
//!
//! A provider never connects to anything it finds and never decides. It tells its [`Feed`] what it
//! learnt: a complete answer, a failure, an announcement or a goodbye.

mod address;
#[cfg(any(feature = "ec2", feature = "rancher"))]
mod app_name;
mod build;
mod command;
#[cfg(feature = "dns")]
pub mod dns;
pub mod ec2;
pub mod epmd;
mod external;
mod feed;
mod file;
#[cfg(any(feature = "dns", feature = "kubernetes", feature = "ec2"))]
mod host_template;
pub mod hosts_file;
pub mod http;
pub mod kubernetes;
mod list;
#[cfg(feature = "multicast")]
pub mod multicast;
pub mod names;
pub mod polling;
pub mod rancher;
mod self_only;
pub mod subnet;
mod watched;

pub use build::build;
pub use command::{CommandConfig, Program, command};
pub use external::External;
pub use feed::{Feed, Observation, Observed, Signal, SignalSender, feed};
pub use file::{FileConfig, NamesInFile, file};
pub use list::{List, ListConfig};
pub use self_only::SelfOnly;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::name::NodeName;
use crate::secret::Secret;

/// A source of peers.
pub trait Provider: Send + 'static {
    /// The word after `via`: `dns`, `multicast`.
    fn kind(&self) -> &'static str;

    /// What it counts while it runs, for status and metrics; `None`, the default, if it counts nothing.
    fn counters(&self) -> Option<SharedCounts> {
        None
    }

    /// What whoever asks for this provider should know of its safety, said once at the start; `None`, the
    /// default, if there is nothing.
    fn warning(&self) -> Option<String> {
        None
    }

    /// How long a name is kept that its complete answers leave out. Zero, the default, is for a source whose
    /// answers are exact: a watch, a file, a list. One that is asked again and again may answer with a part,
    /// with an old record, or without a node that is just starting.
    fn keep_for(&self) -> Duration {
        Duration::ZERO
    }

    /// Looks for peers and tells `feed`, until [`Signal::Stop`].
    ///
    /// It keeps running whatever fails: a failure is told to the feed and tried again. On
    /// [`Signal::Stop`] it says its goodbyes and returns; one that takes too long is dropped.
    fn run(self: Box<Self>, feed: Feed) -> Running;
}

/// What a provider counts, each count by its name: `forged`, `sent`.
pub trait Counts: Send + Sync {
    /// Every count as it is now, always the same names in the same order. A count never goes back.
    fn counts(&self) -> Vec<(&'static str, u64)>;
}

/// The [`Counts`] of a provider at work, for whoever shows them.
pub type SharedCounts = Arc<dyn Counts>;

/// A provider at work.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a provider may know about the node that it works for.
#[derive(Debug, Clone)]
pub struct Context {
    /// The node that wants peers; `None` when someone only looks (`rendez discover`), who is not announced.
    pub own: Option<NodeName>,
    /// The cookie, from which an authenticated provider derives its key unless it has a `secret` of its own.
    pub cookie: Option<Secret>,
}
