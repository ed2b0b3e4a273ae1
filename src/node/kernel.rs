//! What other nodes ask of every node: `net_kernel`'s answers, and the few functions of OTP's modules that
//! have a truthful answer here. All others raise `undef`, as on a BEAM that does not have them.

use std::collections::HashSet;

use crate::etf::{Atom, Term};

use super::connection::Connection;
use super::erpc::Apply;
use super::exception::Exception;
use super::functions::{Context, Functions};
use super::{Node, Shared};

/// The process that `net_adm:ping/1` asks.
pub(super) const NAME: Atom = Atom::new("net_kernel");

/// A request to start a process, as nodes made it before they knew spawn requests.
#[derive(Debug, PartialEq)]
pub(super) struct Spawn {
    pub(super) link: bool,
    pub(super) apply: Apply,
}

impl Spawn {
    /// `{spawn, Module, Function, Arguments, GroupLeader}`, the same with `spawn_link`, or
    /// `{spawn_opt, Module, Function, Arguments, Options, link | no_link, GroupLeader}`; gives the term back
    /// if it is none.
    pub(super) fn read(term: Term) -> Result<Self, Term> {
        let Term::Tuple(elements) = term else {
            return Err(term);
        };
        let link = match elements.as_slice() {
            [Term::Atom(kind), _, _, _, _] if *kind == "spawn" => false,
            [Term::Atom(kind), _, _, _, _] if *kind == "spawn_link" => true,
            [Term::Atom(kind), _, _, _, _, link, _] if *kind == "spawn_opt" => {
                *link == Term::atom("link")
            }
            _ => return Err(Term::Tuple(elements)),
        };
        let mut elements = elements.into_iter().skip(1);
        let mut next = || elements.next().unwrap_or(Term::NIL);
        let apply = Apply {
            module: next(),
            function: next(),
            arguments: next(),
        };
        Ok(Self { link, apply })
    }
}

/// What `net_kernel` answers. OTP's leaves what it does not know without an answer; nobody is to wait for
/// ever here.
pub(super) fn answer(shared: &Shared, request: &Term) -> Term {
    let name = request.as_tuple().and_then(<[Term]>::first);
    match (name.unwrap_or(request).as_atom()).map(Atom::as_str) {
        // Whoever gets through has proved the cookie.
        Some("is_auth") => Term::atom("yes"),
        // In milliseconds, as OTP's keeps it.
        Some("ticktime") => Term::Int(seconds(shared).saturating_mul(1000)),
        Some("longnames") => shared.identity.name.is_long().into(),
        Some("nodename") => shared.ids.node().clone().into(),
        _ => Term::Tuple(vec![Term::atom("error"), Term::atom("notsup")]),
    }
}

fn seconds(shared: &Shared) -> i64 {
    i64::try_from(shared.channel.tick_time.as_secs()).unwrap_or(i64::MAX)
}

/// Offers what every node has an answer for.
pub(super) fn offer(functions: &Functions) {
    let offer = |module, function, arity, answer: fn(&Node, &[Term]) -> Result<Term, Exception>| {
        let run = move |context: Context, arguments: Vec<Term>| async move {
            answer(context.process.node(), &arguments)
        };
        functions.offer(Atom::new(module), Atom::new(function), arity, run);
    };
    offer("erlang", "node", 0, |node, _| Ok(own(node)));
    offer("erlang", "nodes", 0, |node, _| nodes(node, "visible"));
    offer("erlang", "nodes", 1, |node, arguments| {
        let Term::List(kinds) = &arguments[0] else {
            return nodes(node, atom(&arguments[0])?);
        };
        // Each kind once, however often it is asked for.
        let mut asked = HashSet::new();
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        for kind in kinds {
            let kind = atom(kind)?;
            if asked.insert(kind)
                && let Term::List(more) = nodes(node, kind)?
            {
                all.extend(more.into_iter().filter(|it| seen.insert(it.clone())));
            }
        }
        Ok(Term::List(all))
    });
    offer("erlang", "is_alive", 0, |_, _| Ok(true.into()));
    offer("erlang", "whereis", 1, |node, arguments| {
        let name = arguments[0].as_atom().ok_or_else(Exception::badarg)?;
        let entry = node.0.registry.whereis(name);
        Ok(entry.map_or(Term::atom("undefined"), |entry| entry.pid.clone().into()))
    });
    offer("erlang", "registered", 0, |node, _| {
        let names = node.0.registry.names();
        Ok(Term::List(names.into_iter().map(Term::from).collect()))
    });
    offer("erlang", "is_process_alive", 1, |node, arguments| {
        let pid = arguments[0].as_pid();
        let pid = pid.filter(|pid| pid.node == *node.0.ids.node());
        let pid = pid.ok_or_else(Exception::badarg)?;
        Ok(node.0.process(pid).is_some_and(|it| it.is_alive()).into())
    });
    offer("erlang", "function_exported", 3, |node, arguments| {
        let [Term::Atom(module), Term::Atom(function), Term::Int(arity)] = arguments else {
            return Err(Exception::badarg());
        };
        let arity = u8::try_from(*arity).ok();
        let has = arity.is_some_and(|arity| node.0.functions.has(module, function, arity));
        Ok(has.into())
    });
    offer("erlang", "system_info", 1, |node, arguments| {
        system_info(node, &arguments[0])
    });
    offer("net_kernel", "get_net_ticktime", 0, |node, _| {
        Ok(Term::Int(seconds(&node.0)))
    });
    offer("os", "getpid", 0, |_, _| {
        Ok(Term::string(&std::process::id().to_string()))
    });
    offer_connecting(functions);
}

/// `net_kernel:connect_node/1` and `net_adm:ping/1`, by which others have this node connect to more.
fn offer_connecting(functions: &Functions) {
    for (module, function, yes, no) in [
        ("net_kernel", "connect_node", "true", "false"),
        ("net_adm", "ping", "pong", "pang"),
    ] {
        let run = move |context: Context, arguments: Vec<Term>| async move {
            let name = atom(&arguments[0])?;
            let node = context.process.node();
            let connected = match name.parse() {
                Ok(peer) => peer == *node.name() || node.connect(&peer).await.is_ok(),
                Err(_) => false,
            };
            Ok(Term::atom(if connected { yes } else { no }))
        };
        functions.offer(Atom::new(module), Atom::new(function), 1, run);
    }
}

fn atom(term: &Term) -> Result<&str, Exception> {
    let atom = term.as_atom().map(Atom::as_str);
    atom.ok_or_else(Exception::badarg)
}

fn own(node: &Node) -> Term {
    node.0.ids.node().clone().into()
}

fn nodes(node: &Node, kind: &str) -> Result<Term, Exception> {
    let names: Vec<Connection> = match kind {
        "this" => return Ok(Term::List(vec![own(node)])),
        "visible" => node
            .0
            .table
            .all()
            .into_iter()
            .filter(Connection::is_visible)
            .collect(),
        // To a hidden node, all others are hidden too.
        "hidden" => node
            .0
            .table
            .all()
            .into_iter()
            .filter(|it| !it.is_visible())
            .collect(),
        "connected" | "known" => node.0.table.all(),
        _ => return Err(Exception::badarg()),
    };
    let mut names: Vec<_> = names.iter().map(|it| it.node().clone().into()).collect();
    if kind == "known" {
        names.push(own(node));
    }
    Ok(Term::List(names))
}

/// `erlang:system_info/1` for what is true of a node in Rust; `badarg` for the rest, as a BEAM raises it for
/// an item that it does not know.
fn system_info(node: &Node, item: &Term) -> Result<Term, Exception> {
    let count = |count: usize| Ok(Term::Int(i64::try_from(count).unwrap_or(i64::MAX)));
    let word = size_of::<usize>();
    let item = match item {
        Term::Tuple(pair) => match pair.as_slice() {
            [Term::Atom(name), Term::Atom(_)] if *name == "wordsize" => return count(word),
            _ => return Err(Exception::badarg()),
        },
        item => atom(item)?,
    };
    match item {
        "creation" => Ok(Term::Int(i64::from(node.0.identity.creation))),
        "process_count" => count(node.0.registry.count()),
        "port_count" => count(0),
        "wordsize" => count(word),
        "endian" if cfg!(target_endian = "little") => Ok(Term::atom("little")),
        "endian" => Ok(Term::atom("big")),
        "logical_processors_available" => std::thread::available_parallelism()
            .map_or(Ok(Term::atom("unknown")), |it| count(it.get())),
        _ => Err(Exception::badarg()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_ways_to_spawn_are_read() {
        let apply = || Apply {
            module: Term::atom("m"),
            function: Term::atom("f"),
            arguments: Term::NIL,
        };
        let leader = || Term::atom("leader");
        let request = |kind, more: Vec<Term>| {
            let mut elements = vec![
                Term::atom(kind),
                Term::atom("m"),
                Term::atom("f"),
                Term::NIL,
            ];
            elements.extend(more);
            Term::Tuple(elements)
        };
        for (request, link) in [
            (request("spawn", vec![leader()]), false),
            (request("spawn_link", vec![leader()]), true),
            (
                request("spawn_opt", vec![Term::NIL, Term::atom("link"), leader()]),
                true,
            ),
            (
                request(
                    "spawn_opt",
                    vec![Term::NIL, Term::atom("no_link"), leader()],
                ),
                false,
            ),
        ] {
            let apply = apply();
            assert_eq!(Spawn::read(request), Ok(Spawn { link, apply }));
        }
        for other in [
            Term::atom("ticktime"),
            request("spawn", vec![]),
            Term::Tuple(vec![Term::atom("is_auth"), Term::atom("a@b")]),
        ] {
            assert_eq!(Spawn::read(other.clone()), Err(other));
        }
    }
}
