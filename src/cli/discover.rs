//! `rendez discover`: look for peers, once or for as long as it runs.

use std::time::Duration;

use clap::Args;
use rendez::cluster::driver::{Driver, Found, Handle, Setup, Source, look, sources};
use rendez::cluster::{Action, Event, Policy, ProviderId};
use rendez::config::{ClusterConfig, Via};
use rendez::discovery::Context;
use rendez::sidecar::stop_signal;
use serde_json::json;
use tokio::sync::mpsc;

use super::cookie::CookieArgs;
use super::output::{Failure, Output};
use super::peer;
use super::via::ViaArgs;

/// How long announcements are listened to. Whoever hears the question answers within some milliseconds.
const ANNOUNCEMENTS: Duration = Duration::from_secs(2);

/// How long other providers have to answer: more than their own timeouts.
const ANSWERS: Duration = Duration::from_secs(6);

/// Look for peers and print their names, one per line
///
/// Nothing is announced and no node is connected to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rendez discover --via dns --dns-name shop.internal --app-name shop
  rendez discover --via multicast --watch
  rendez discover --via dns --dns-name shop@shop.internal --via epmd --hosts 10.0.0.7,10.0.0.8 --json

With --json: {\"nodes\":[\"shop@10.0.0.7\"],\"failed\":[{\"provider\":\"dns\",\"error\":\"...\"}]}
With --watch each line is + or - and a name; with --json too it is an object:
  {\"event\":\"found\",\"node\":\"shop@10.0.0.7\",\"provider\":\"dns\"}     also \"lost\", \"refused\" with \"reason\"
  {\"event\":\"failed\",\"provider\":\"dns\",\"error\":\"...\"}             also \"recovered\", \"notice\" with \"message\"

If a provider fails, what the others found is printed all the same, and the status is 1.")]
pub struct Discover {
    /// Go on looking, and print each node that comes (+) or goes (-)
    #[arg(long)]
    watch: bool,
    /// How long to look [default: until every provider has answered, at most 6s or as long as a scan or a command may take; 2s for announcements; with --watch
    /// until it is stopped]
    #[arg(long = "for", value_name = "SPAN", value_parser = peer::span)]
    within: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    cookie: CookieArgs,
    #[command(flatten)]
    via: ViaArgs,
}

impl Discover {
    /// Does it.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let config = self.via.read()?;
        let context = Context {
            own: None,
            cookie: self.cookie.find_if_any()?,
        };
        let sources = sources(&config, &context)?;
        for warning in sources.iter().filter_map(Source::warning) {
            output.warn(warning);
        }
        if self.watch {
            watch(config.policy, sources, self.within, output).await
        } else {
            let within = self.within.unwrap_or_else(|| patience(&config));
            once(&config, sources, within, output).await
        }
    }
}

fn patience(config: &ClusterConfig) -> Duration {
    let announced = |via: &Via| matches!(via, Via::Multicast(_) | Via::Dialect(_));
    if config.via.iter().all(announced) {
        ANNOUNCEMENTS
    } else {
        let longest = |via: &Via| match via {
            Via::Subnet(config) => ANSWERS.max(config.longest() + Duration::from_secs(1)),
            Via::Command(config) => ANSWERS.max(config.timeout + Duration::from_secs(1)),
            _ => ANSWERS,
        };
        config.via.iter().map(longest).max().unwrap_or(ANSWERS)
    }
}

async fn once(
    config: &ClusterConfig,
    sources: Vec<Source>,
    within: Duration,
    output: &Output,
) -> Result<(), Failure> {
    let Found {
        mut nodes,
        mut failed,
        silent,
    } = look(&sources, within)
        .await
        .map_err(|error| Failure::words(error.to_string()))?;
    nodes.retain(|node| config.policy.accept.accepts(node));
    for (source, via) in sources.iter().zip(&config.via) {
        if silent.iter().any(|name| name == source.name())
            && !matches!(via, Via::Multicast(_) | Via::Dialect(_))
        {
            failed.push((
                source.name().to_owned(),
                format!("it did not answer within {within:?}; give it more time with --for"),
            ));
        }
    }
    if output.is_json() {
        let failed: Vec<_> = failed
            .iter()
            .map(|(provider, error)| json!({"provider": provider, "error": error}))
            .collect();
        let nodes: Vec<_> = nodes.iter().map(|node| node.as_str()).collect();
        output.json(&json!({"nodes": nodes, "failed": failed}))?;
    } else {
        for node in &nodes {
            output.line(node.as_str())?;
        }
    }
    for (provider, error) in &failed {
        output.warn(&format!("{provider}: {error}"));
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

async fn watch(
    policy: Policy,
    sources: Vec<Source>,
    within: Option<Duration>,
    output: &Output,
) -> Result<(), Failure> {
    let mut setup = Setup::watch();
    setup.policy = Policy {
        max_connecting: setup.policy.max_connecting,
        ..policy
    };
    // Printing blocks this thread, and the driver with it, so the driver cannot run ahead of a slow reader.
    let (sender, mut actions) = mpsc::unbounded_channel();
    let outlet = move |action: Action| {
        // When nobody receives, the watch is over.
        let _ = sender.send(action);
    };
    let (driver, handle) =
        Driver::new(setup, sources, outlet).map_err(|error| Failure::words(error.to_string()))?;
    let stop = stop_signal()
        .map_err(|error| Failure::failed(format!("cannot wait for signals: {error}")))?;
    let mut stop = std::pin::pin!(stop);
    let driver = tokio::spawn(driver.run());
    let over = async {
        match within {
            Some(within) => tokio::time::sleep(within).await,
            None => std::future::pending().await,
        }
    };
    let mut over = std::pin::pin!(over);
    let ended = loop {
        tokio::select! {
            action = actions.recv() => match action {
                Some(Action::Event(event)) => {
                    if let Err(failure) = tell(&event, &handle, output) {
                        break Err(failure);
                    }
                }
                Some(_) => {}
                // The driver holds the other end: it ended by itself, by a panic.
                None => break Err(Failure::failed(
                    "the search ended by itself, which is a mistake in Rendez; the lines above say where",
                )),
            },
            () = &mut stop => break Ok(()),
            () = &mut over => break Ok(()),
        }
    };
    handle.stop();
    // Nothing was announced, so there is nothing to wait for; what went wrong in it, a panic says itself.
    driver.abort();
    ended
}

fn tell(event: &Event, handle: &Handle, output: &Output) -> Result<(), Failure> {
    let name = |provider: ProviderId| {
        handle
            .sources()
            .get(provider.index())
            .map_or("?", Source::name)
    };
    let (line, object) = match event {
        Event::Discovered { node, provider } => (
            Some(format!("+ {node} ({})", name(*provider))),
            json!({"event": "found", "node": node.as_str(), "provider": name(*provider)}),
        ),
        Event::Withdrawn { node, provider } => (
            Some(format!("- {node} ({})", name(*provider))),
            json!({"event": "lost", "node": node.as_str(), "provider": name(*provider)}),
        ),
        Event::Refused {
            node,
            provider,
            reason,
        } => {
            if !output.is_json() {
                output.warn(&format!(
                    "{}: {node} is left out: {reason}",
                    name(*provider)
                ));
            }
            (
                None,
                json!({"event": "refused", "node": node.as_str(), "provider": name(*provider), "reason": reason.to_string()}),
            )
        }
        Event::ProviderFailed { provider, error } => {
            if !output.is_json() {
                output.warn(&format!("{}: {error}", name(*provider)));
            }
            (
                None,
                json!({"event": "failed", "provider": name(*provider), "error": error}),
            )
        }
        Event::ProviderNotice { provider, message } => {
            if !output.is_json() {
                output.warn(&format!("{}: {message}", name(*provider)));
            }
            (
                None,
                json!({"event": "notice", "provider": name(*provider), "message": message}),
            )
        }
        Event::ProviderRecovered { provider } => {
            if !output.is_json() {
                output.warn(&format!("{}: it answers again", name(*provider)));
            }
            (
                None,
                json!({"event": "recovered", "provider": name(*provider)}),
            )
        }
        Event::PartialAnswers { .. } | Event::TooManyNew { .. } => {
            let Some((provider, warning)) = event.provider_warning() else {
                return Ok(());
            };
            if !output.is_json() {
                output.warn(&format!("{}: {warning}", name(provider)));
            }
            (
                None,
                json!({"event": "warning", "provider": name(provider), "warning": warning}),
            )
        }
        _ => return Ok(()),
    };
    match line {
        _ if output.is_json() => output.json(&object),
        Some(line) => output.line(&line),
        None => Ok(()),
    }
}
