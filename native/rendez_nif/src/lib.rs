//! The NIF of the rendez package: a thin skin over discovery and the engine.
//!
//! It translates terms and decides nothing. `erlang/src/rendez_nif.erl` documents its functions, and
//! `docs/architecture.md` what crosses. No function waits for anything: those that run on a normal
//! scheduler put a small thing into the driver's inbox, those that read a long term run on a dirty one.
//! A panic ends as `{error, Message}` in a call, and as `{rendez, Tag, {stopped, Message}}` in a task.

mod cluster;
mod decode;
mod encode;
mod look_up;
mod mailbox;
mod resolve;
mod runtime;

use rendez::config::options;
use rendez::panics::caught;
use rustler::{Atom, Encoder, Env, LocalPid, Reference, ResourceArc, Term};

use cluster::Cluster;

mod atoms {
    //! Every atom that the library makes, made once.
    rustler::atoms! {
        ok, error, rendez, off,
        // What is asked for.
        connect, disconnect, event, log, status, stopped, resolved, looked_up, timeout, busy,
        // What is reported and observed.
        up, up_hidden, down, connected, failed, snapshot, seen, gone,
        // Kinds of events.
        discovered, withdrawn, joined, left, connect_failed, refused, provider_failed, provider_recovered,
        provider_warning,
        // Keys.
        node, nodes, provider, providers, reason, message, attempts, retry_in_ms, after_ms, name, kind, state,
        named_by, named_for_ms, state_for_ms, failures, restarts, age_ms, connecting, counters, uptime_ms, own,
        port, warning, names_self, count,
        // Why a node is refused.
        not_accepted, cluster_full, too_many_new, other,
        // How a node stands. `connecting`, `connected` and `refused` are above.
        known, waiting, idle,
        // Counters.
        expired, given_up, disconnects,
    }
}

/// What a function of the module returns: the value as it is, or `{error, Message}`. A panic is an error.
fn guarded<'a, T: Encoder>(env: Env<'a>, call: impl FnOnce() -> Result<T, String>) -> Term<'a> {
    match caught(call) {
        Ok(value) => value.encode(env),
        Err(message) => (atoms::error(), message).encode(env),
    }
}

#[rustler::nif(schedule = "DirtyCpu")]
fn start<'a>(env: Env<'a>, owner: LocalPid, options: Term<'a>) -> Term<'a> {
    guarded(env, || {
        let (cluster, tag) = Cluster::start(env, owner, options)?;
        Ok((atoms::ok(), cluster, tag))
    })
}

#[rustler::nif]
fn stop(env: Env<'_>, cluster: ResourceArc<Cluster>) -> Term<'_> {
    guarded(env, || {
        cluster.stop();
        Ok(atoms::ok())
    })
}

#[rustler::nif(schedule = "DirtyCpu")]
fn observe<'a>(
    env: Env<'a>,
    cluster: ResourceArc<Cluster>,
    provider: &str,
    observation: Term<'a>,
) -> Term<'a> {
    guarded(env, || {
        cluster.observe(provider, decode::observation(observation)?)?;
        Ok(atoms::ok())
    })
}

#[rustler::nif]
fn report<'a>(env: Env<'a>, cluster: ResourceArc<Cluster>, what: Term<'a>) -> Term<'a> {
    guarded(env, || {
        cluster.report(decode::report(what)?)?;
        Ok(atoms::ok())
    })
}

#[rustler::nif]
fn status<'a>(env: Env<'a>, cluster: ResourceArc<Cluster>, tag: Reference<'a>) -> Term<'a> {
    guarded(env, || {
        cluster.status(tag)?;
        Ok(atoms::ok())
    })
}

#[rustler::nif]
fn refresh(env: Env<'_>, cluster: ResourceArc<Cluster>) -> Term<'_> {
    guarded(env, || {
        cluster.refresh()?;
        Ok(atoms::ok())
    })
}

#[rustler::nif(schedule = "DirtyCpu")]
fn check<'a>(env: Env<'a>, options: Term<'a>) -> Term<'a> {
    guarded(env, || {
        use rustler::Encoder;
        let configuration = cluster::configuration(options)?;
        let configured = &configuration.cluster;
        Ok(if configured.via.is_empty() {
            (atoms::off(), configured.off.join(" and ")).encode(env)
        } else {
            configuration.check()?;
            atoms::ok().encode(env)
        })
    })
}

#[rustler::nif(schedule = "DirtyCpu")]
fn resolve<'a>(env: Env<'a>, owner: LocalPid, options: Term<'a>, within_ms: u64) -> Term<'a> {
    guarded(env, || {
        let tag = resolve::start(env, owner, options, within_ms)?;
        Ok((atoms::ok(), tag))
    })
}

#[rustler::nif]
fn look_up<'a>(env: Env<'a>, owner: LocalPid, host: String, within_ms: u64) -> Term<'a> {
    guarded(env, || {
        let tag = look_up::start(env, owner, host, within_ms)?;
        Ok((atoms::ok(), tag))
    })
}

/// The atoms of the table of options, which is fixed: no input makes one.
fn words<'a>(env: Env<'a>, words: impl Iterator<Item = &'static str>) -> Term<'a> {
    guarded(env, || {
        words
            .map(|word| Atom::from_str(env, word).map_err(|_| format!("{word} is no atom")))
            .collect::<Result<Vec<_>, _>>()
    })
}

#[rustler::nif]
fn providers(env: Env<'_>) -> Term<'_> {
    words(env, options::PROVIDERS.iter().map(|group| group.name))
}

#[rustler::nif]
fn cluster_options(env: Env<'_>) -> Term<'_> {
    words(env, options::CLUSTER.iter().map(|option| option.name))
}

#[rustler::nif]
fn public_options(env: Env<'_>) -> Term<'_> {
    words(env, options::public())
}

#[rustler::nif]
fn is_provider<'a>(env: Env<'a>, word: Term<'a>) -> Term<'a> {
    guarded(env, || {
        let word = decode::word(word).unwrap_or_default();
        Ok(options::group_of(&word).is_some())
    })
}

/// The version of the library, as text.
#[rustler::nif]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

rustler::init!("rendez_nif");
