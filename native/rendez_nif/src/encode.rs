//! What the driver says, as Erlang terms. Names and texts are binaries; every atom is one of a fixed set.

use std::time::Duration;

use rendez::NodeName;
use rendez::cluster::driver::{Source, Status};
use rendez::cluster::report::Line;
use rendez::cluster::{Action, ConnectError, Counters, Event, NodeState, ProviderId, Refusal};
use rustler::{Atom, Encoder, Env, Term};

use crate::atoms;

/// A map that is put together key by key.
struct Map<'a> {
    env: Env<'a>,
    pairs: Vec<(Term<'a>, Term<'a>)>,
}

impl<'a> Map<'a> {
    fn new(env: Env<'a>) -> Self {
        Self {
            env,
            pairs: Vec::new(),
        }
    }

    fn with(mut self, key: Atom, value: impl Encoder) -> Self {
        self.pairs
            .push((key.to_term(self.env), value.encode(self.env)));
        self
    }

    /// Adds nothing where there is nothing: a key that is absent reads the same in Erlang and Elixir.
    fn with_some(self, key: Atom, value: Option<impl Encoder>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn term(self) -> Term<'a> {
        // Keys of ours are never given twice.
        Term::map_from_pairs(self.env, &self.pairs).unwrap_or_else(|_| Term::map_new(self.env))
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// An action, as the message that asks for it.
pub fn action<'a>(env: Env<'a>, action: &Action, sources: &[Source]) -> Term<'a> {
    match action {
        Action::Connect(node) => (atoms::connect(), node.as_str()).encode(env),
        Action::Disconnect(node) => (atoms::disconnect(), node.as_str()).encode(env),
        Action::Event(event) => {
            let (kind, info) = self::event(env, event, sources);
            (atoms::event(), kind, info).encode(env)
        }
    }
}

/// What a provider says of its safety, as an event.
pub fn warning<'a>(env: Env<'a>, provider: &str, warning: &str) -> Term<'a> {
    let info = Map::new(env)
        .with(atoms::provider(), provider)
        .with(atoms::message(), warning)
        .term();
    (atoms::event(), atoms::provider_warning(), info).encode(env)
}

/// The same, as a line for the log.
pub fn warning_line<'a>(env: Env<'a>, provider: &str, warning: &str) -> Term<'a> {
    let info = Map::new(env)
        .with(atoms::event(), atoms::provider_warning())
        .with(atoms::provider(), provider)
        .with(atoms::message(), warning)
        .term();
    (atoms::log(), atoms::warning(), info).encode(env)
}

/// A line for the log. Its words are of a fixed set, so no input makes an atom.
pub fn line<'a>(env: Env<'a>, line: &Line) -> Term<'a> {
    let atom = |word| Atom::from_str(env, word).unwrap_or_else(|_| atoms::other());
    let reason = line.reason.as_deref();
    let info = Map::new(env)
        .with(atoms::event(), atom(line.event))
        .with(atoms::message(), &line.text)
        .with_some(atoms::node(), line.node.as_ref().map(NodeName::as_str))
        .with_some(atoms::provider(), line.provider.as_ref())
        .with_some(atoms::reason(), reason.map(|reason| word(env, reason)))
        .with_some(atoms::attempts(), line.attempts)
        .with_some(atoms::retry_in_ms(), line.retry_in.map(ms))
        .with_some(atoms::after_ms(), line.after.map(ms))
        .with_some(atoms::count(), line.count)
        .term();
    (atoms::log(), atom(line.level.word()), info).encode(env)
}

/// An [`Action::Connect`] to a node whose port is known.
pub fn connect<'a>(env: Env<'a>, node: &NodeName, port: u16) -> Term<'a> {
    let info = Map::new(env).with(atoms::port(), port).term();
    (atoms::connect(), node.as_str(), info).encode(env)
}

fn name_of(sources: &[Source], provider: ProviderId) -> &str {
    sources.get(provider.index()).map_or("", Source::name)
}

fn event<'a>(env: Env<'a>, event: &Event, sources: &[Source]) -> (Atom, Term<'a>) {
    let map = Map::new(env);
    let (kind, map) = match event {
        Event::Discovered { node, provider } => (
            atoms::discovered(),
            map.with(atoms::node(), node.as_str())
                .with(atoms::provider(), name_of(sources, *provider)),
        ),
        Event::Withdrawn { node, provider } => (
            atoms::withdrawn(),
            map.with(atoms::node(), node.as_str())
                .with(atoms::provider(), name_of(sources, *provider)),
        ),
        Event::Joined { node, after } => (
            atoms::joined(),
            map.with(atoms::node(), node.as_str())
                .with_some(atoms::after_ms(), after.map(ms)),
        ),
        Event::Left { node, reason } => (
            atoms::left(),
            map.with(atoms::node(), node.as_str())
                .with_some(atoms::reason(), reason.as_ref()),
        ),
        Event::ConnectFailed {
            node,
            error,
            attempts,
            retry_in,
        } => (
            atoms::connect_failed(),
            map.with(atoms::node(), node.as_str())
                .with(atoms::reason(), reason(env, error))
                .with(atoms::message(), &error.message)
                .with(atoms::attempts(), attempts)
                .with_some(atoms::retry_in_ms(), retry_in.map(ms)),
        ),
        Event::Refused {
            node,
            provider,
            reason,
        } => (
            atoms::refused(),
            map.with(atoms::node(), node.as_str())
                .with(atoms::provider(), name_of(sources, *provider))
                .with(atoms::reason(), refusal(*reason))
                .with(atoms::message(), reason.to_string()),
        ),
        Event::ProviderFailed { provider, error } => (
            atoms::provider_failed(),
            map.with(atoms::provider(), name_of(sources, *provider))
                .with(atoms::message(), error),
        ),
        Event::ProviderNotice { provider, message } => (
            atoms::provider_warning(),
            map.with(atoms::provider(), name_of(sources, *provider))
                .with(atoms::message(), message),
        ),
        Event::ProviderRecovered { provider } => (
            atoms::provider_recovered(),
            map.with(atoms::provider(), name_of(sources, *provider)),
        ),
        Event::PartialAnswers { .. } | Event::TooManyNew { .. } => {
            let warning = event.provider_warning();
            let provider = warning.as_ref().map(|(provider, _)| *provider);
            (
                atoms::provider_warning(),
                map.with_some(atoms::provider(), provider.map(|p| name_of(sources, p)))
                    .with_some(atoms::message(), warning.map(|(_, message)| message)),
            )
        }
        // The set may grow; what we have no word for is told under this one.
        _ => (
            atoms::other(),
            map.with(atoms::message(), format!("{event:?}")),
        ),
    };
    (kind, map.term())
}

/// The reason's word. It came from the BEAM or from the engine, so the atom is there; none is made.
fn reason(env: Env, error: &ConnectError) -> Atom {
    word(env, &error.reason)
}

fn word(env: Env, reason: &str) -> Atom {
    Atom::existing_from_str(env, reason).unwrap_or_else(|_| atoms::failed())
}

fn refusal(refusal: Refusal) -> Atom {
    match refusal {
        Refusal::NotAccepted => atoms::not_accepted(),
        Refusal::ClusterFull => atoms::cluster_full(),
        Refusal::TooManyNew => atoms::too_many_new(),
        _ => atoms::other(),
    }
}

fn state(state: &NodeState) -> Atom {
    match state {
        NodeState::Known => atoms::known(),
        NodeState::Connecting { .. } => atoms::connecting(),
        NodeState::Connected { .. } => atoms::connected(),
        NodeState::Waiting { .. } => atoms::waiting(),
        NodeState::Idle => atoms::idle(),
        NodeState::Refused(_) => atoms::refused(),
        _ => atoms::other(),
    }
}

/// The status, as a map.
pub fn status<'a>(env: Env<'a>, status: &Status) -> Term<'a> {
    let nodes: Vec<Term> = status
        .nodes
        .iter()
        .map(|node| {
            let named_by: Vec<&str> = node
                .named_by
                .iter()
                .filter_map(|provider| status.providers.get(provider.index()))
                .map(|provider| provider.name.as_str())
                .collect();
            let refused = match node.state {
                NodeState::Refused(why) => Some(why),
                _ => None,
            };
            Map::new(env)
                .with(atoms::node(), node.node.as_str())
                .with(atoms::state(), state(&node.state))
                .with(atoms::named_by(), named_by)
                .with(atoms::failures(), node.failures)
                .with_some(atoms::named_for_ms(), node.named_for.map(ms))
                .with_some(atoms::state_for_ms(), node.state_for.map(ms))
                .with_some(atoms::retry_in_ms(), node.retry_in.map(ms))
                .with_some(
                    atoms::reason(),
                    refused
                        .map(refusal)
                        .or_else(|| node.last_error.as_ref().map(|error| reason(env, error))),
                )
                .with_some(
                    atoms::message(),
                    refused
                        .map(|why| why.to_string())
                        .or_else(|| node.last_error.as_ref().map(|error| error.message.clone())),
                )
                .term()
        })
        .collect();
    let providers: Vec<Term> = status
        .providers
        .iter()
        .map(|provider| {
            Map::new(env)
                .with(atoms::name(), &provider.name)
                .with(atoms::kind(), provider.kind)
                .with(atoms::nodes(), provider.nodes)
                .with(atoms::names_self(), provider.names_self)
                .with(atoms::failures(), provider.failures)
                .with(atoms::restarts(), provider.restarts)
                .with(
                    atoms::counters(),
                    provider_counters(env, &provider.counters),
                )
                .with_some(atoms::age_ms(), provider.age.map(ms))
                .with_some(atoms::message(), provider.error.as_ref())
                .with_some(atoms::warning(), provider.warning.as_ref())
                .term()
        })
        .collect();
    Map::new(env)
        .with(atoms::nodes(), nodes)
        .with(atoms::providers(), providers)
        .with(atoms::counters(), counters(env, &status.counters))
        .with(atoms::uptime_ms(), ms(status.uptime))
        .with_some(atoms::own(), status.own.as_ref().map(NodeName::as_str))
        .term()
}

fn counters<'a>(env: Env<'a>, counters: &Counters) -> Term<'a> {
    Map::new(env)
        .with(atoms::discovered(), counters.discovered)
        .with(atoms::withdrawn(), counters.withdrawn)
        .with(atoms::expired(), counters.expired)
        .with(atoms::refused(), counters.refused)
        .with(atoms::attempts(), counters.attempts)
        .with(atoms::failed(), counters.failed)
        .with(atoms::given_up(), counters.given_up)
        .with(atoms::joined(), counters.joined)
        .with(atoms::left(), counters.left)
        .with(atoms::disconnects(), counters.disconnects)
        .term()
}

/// A provider's own counters. Their names are texts of the program, so the atoms are of a fixed set.
fn provider_counters<'a>(env: Env<'a>, counters: &[(&'static str, u64)]) -> Term<'a> {
    let map = Map::new(env);
    counters
        .iter()
        .fold(map, |map, &(name, count)| match Atom::from_str(env, name) {
            Ok(name) => map.with(name, count),
            Err(_) => map,
        })
        .term()
}
