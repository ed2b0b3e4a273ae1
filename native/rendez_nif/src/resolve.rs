//! One look at what the providers say.

use std::time::Duration;

use rendez::cluster::driver::look;
use rustler::{Encoder, Env, LocalPid, Reference, Term};

use crate::mailbox::Mailbox;
use crate::{atoms, cluster, runtime};

/// The longest that a look takes.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Looks for `owner`, who gets `{rendez, Tag, {resolved, Answer}}` within the time.
///
/// # Errors
/// A sentence for people.
pub fn start<'a>(
    env: Env<'a>,
    owner: LocalPid,
    options: Term<'a>,
    within_ms: u64,
) -> Result<Reference<'a>, String> {
    let configuration = cluster::configuration(options)?;
    let within = Duration::from_millis(within_ms).min(LONGEST);
    let sources = configuration.sources()?;
    let tag = env.make_ref();
    let mailbox = Mailbox::new(owner, tag);
    let runtime = runtime::runtime()?;
    runtime.spawn(async move {
        // A task of its own, so that a panic ends there.
        let answer = match tokio::spawn(async move { found(&sources, within).await }).await {
            Ok(answer) => answer,
            Err(error) => Err(format!(
                "the look-up crashed, which is a mistake in it: {error}"
            )),
        };
        mailbox.send(|env| {
            let answer = match answer {
                Ok(names) => (atoms::ok(), names).encode(env),
                Err(message) => (atoms::error(), message).encode(env),
            };
            (atoms::resolved(), answer).encode(env)
        });
    });
    Ok(tag)
}

/// All names, or what failed: an answer with a part missing would pass for a complete one.
async fn found(
    sources: &[rendez::cluster::driver::Source],
    within: Duration,
) -> Result<Vec<String>, String> {
    let found = look(sources, within)
        .await
        .map_err(|error| error.to_string())?;
    let mut problems: Vec<String> = found
        .failed
        .into_iter()
        .map(|(name, error)| format!("{name}: {error}"))
        .collect();
    for name in found.silent {
        // Nobody announced itself: that is an answer.
        if sources
            .iter()
            .any(|source| source.name() == name && source.kind() == "multicast")
        {
            continue;
        }
        problems.push(format!(
            "{name}: no answer within {} ms",
            within.as_millis()
        ));
    }
    if problems.is_empty() {
        Ok(found.nodes.iter().map(ToString::to_string).collect())
    } else {
        Err(problems.join("; "))
    }
}
