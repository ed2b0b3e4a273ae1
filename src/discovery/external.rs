//! Peers are what somebody else says: a provider written in Erlang or Elixir.

use super::{Feed, Provider, Running, Signal};

/// Holds the place of a provider that runs elsewhere, and says nothing itself.
///
/// What that provider learns comes in through `cluster::driver::Handle::observe`, under the name that
/// it was given there.
#[derive(Debug, Clone, Copy, Default)]
pub struct External;

impl Provider for External {
    fn kind(&self) -> &'static str {
        "external"
    }

    fn run(self: Box<Self>, mut feed: Feed) -> Running {
        Box::pin(async move { while feed.signal().await != Signal::Stop {} })
    }
}
