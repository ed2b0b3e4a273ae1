//! What happens, told through `tracing`.

use crate::cluster::driver::Source;
use crate::cluster::{Event, ProviderId};

/// Tells of an event. `sources` are the providers in their configured order.
pub(super) fn report(event: &Event, sources: &[Source]) {
    let named = |provider: &ProviderId| {
        let source = sources.get(provider.index());
        source.map_or("?", Source::name).to_owned()
    };
    match event {
        Event::Discovered { node, provider } => {
            tracing::info!(%node, via = named(provider), "found");
        }
        Event::Withdrawn { node, provider } => {
            tracing::info!(%node, via = named(provider), "no longer named");
        }
        Event::Joined {
            node,
            after: Some(after),
        } => {
            tracing::info!(%node, ms = millis(*after), "connected after {} ms", millis(*after));
        }
        Event::Joined { node, after: None } => tracing::info!(%node, "connected"),
        Event::Left { node } => tracing::warn!(%node, "lost"),
        Event::ConnectFailed {
            node,
            error,
            attempts,
            retry_in,
        } => match retry_in {
            Some(retry_in) => tracing::warn!(
                %node, reason = error.reason, attempts, retry_ms = millis(*retry_in),
                "not connected: {error}"
            ),
            None => {
                tracing::warn!(%node, reason = error.reason, attempts, "not connected: {error}")
            }
        },
        Event::Refused {
            node,
            provider,
            reason,
        } => tracing::info!(%node, via = named(provider), "left out: {reason}"),
        Event::ProviderFailed { provider, error } => {
            tracing::warn!(via = named(provider), "the provider failed: {error}");
        }
        Event::ProviderRecovered { provider } => {
            tracing::info!(via = named(provider), "the provider answers again");
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
