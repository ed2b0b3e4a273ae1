//! Peers that announce themselves by UDP multicast.
//!
//! [`Multicast`] is the provider. What it decides is in [`Announcer`], which opens no socket and reads no
//! clock; what it sends is in [`codec`]; `docs/announcement.md` describes both. [`dialects`] speaks the
//! languages of other libraries.

pub mod announcer;
pub mod codec;
mod config;
mod counters;
pub mod dialects;
mod interfaces;
mod members;
mod session;
#[cfg(test)]
mod simulation;
mod socket;
mod trouble;

pub use announcer::{Announcer, Now};
pub use config::{
    GROUP_V4, GROUP_V6, InterfaceChoice, InvalidInterface, InvalidMulticast, MulticastConfig, PORT,
};
pub use counters::Counters;

use std::sync::{Arc, Mutex, PoisonError};

use super::{Context, Counts, Feed, Provider, Running, SharedCounts};
use crate::name::NodeName;
use session::Session;

/// The multicast provider: announces the own node and hears of the others.
///
/// One that has no own node ([`Context::own`]) asks who is there and announces nothing.
#[derive(Debug)]
pub struct Multicast {
    key: codec::Key,
    config: MulticastConfig,
    own: Option<NodeName>,
    counters: SharedCounters,
}

/// The [`Counters`] of a provider at work.
#[derive(Debug, Clone, Default)]
pub struct SharedCounters(Arc<Mutex<Counters>>);

impl SharedCounters {
    /// The counters as they are now.
    #[must_use]
    pub fn get(&self) -> Counters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, counters: Counters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}

impl Counts for SharedCounters {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        self.get().named().into()
    }
}

impl Multicast {
    /// Makes the provider. Opens nothing before it runs.
    ///
    /// # Errors
    /// [`InvalidMulticast`]: an option that is off, or no secret and no cookie.
    pub fn new(config: MulticastConfig, context: &Context) -> Result<Self, InvalidMulticast> {
        let key = config.check(context)?;
        Ok(Self {
            key,
            config,
            own: context.own.clone(),
            counters: SharedCounters::default(),
        })
    }

    /// What became of the datagrams; stays readable while the provider runs.
    #[must_use]
    pub fn counters(&self) -> SharedCounters {
        self.counters.clone()
    }
}

impl Provider for Multicast {
    fn kind(&self) -> &'static str {
        "multicast"
    }

    fn counters(&self) -> Option<SharedCounts> {
        Some(Arc::new(self.counters.clone()))
    }

    fn run(self: Box<Self>, feed: Feed) -> Running {
        Box::pin(async move { Session::start(*self, feed).run().await })
    }
}
