//! How the attached node removes another one, and how it notices that it has left itself.
//!
//! This is the protocol of the package's `rendez_leave.erl`, evaluated on the attached node: a node that no provider
//! names any longer is not disconnected but asked to leave by itself, and only when no node that stays wants it.
//! Sidecars and packages in one cluster understand each other: both keep what they agree on in the application
//! environments `rendez_unwanted` and `rendez_left` of the nodes, and know each other by the registered names
//! `rendez_sup` and `rendez_sidecar`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::etf::{Atom, Term};
use crate::name::NodeName;
use crate::node::{Node, atom_of};

use super::eval::Program;

/// How long a removal may take, in which the attached node asks others up to eight times, 5 s each at most, and waits
/// for the end of the connection.
const REMOVING: Duration = Duration::from_secs(60);
/// How long it may take to look into the environment of the attached node.
const LOOKING: Duration = Duration::from_secs(10);

/// Asks `Node`, which no provider names any longer, to leave. `Peers` are the connected nodes that are named.
///
/// `erpc` connects to a node that is not connected, and so would bring back a node that has just left. Each call
/// therefore checks the connection first. If none of the connected nodes is named, for example because the answer of a
/// provider was empty, all other connected nodes vote, so that one node alone cannot remove the others.
const REMOVE: &str = "
begin
    Connected = fun(At) -> lists:member(At, [node() | nodes(connected)]) end,
    Call = fun(At, M, F, A) ->
        case Connected(At) of
            true -> erpc:call(At, M, F, A, 5000);
            false -> error({erpc, noconnection})
        end
    end,
    Tells = fun(At) ->
        lists:all(fun(Key) -> Call(At, application, get_env, [kernel, Key]) =/= {ok, false} end,
                  [prevent_overlapping_partitions, connect_all])
    end,
    Answers = fun(Name, Voters) -> erpc:multicall(Voters, erlang, whereis, [Name], 5000) end,
    Silent = fun({error, {erpc, _}}) -> true; (_) -> false end,
    HasSay = fun({ok, Pid}) -> is_pid(Pid); (_) -> false end,
    UntilGone = fun Again(Times) ->
        case Connected(Node) of
            false -> left;
            true when Times > 0 -> timer:sleep(50), Again(Times - 1);
            true -> still_connected
        end
    end,
    try
        case {Connected(Node), lists:member(Node, Peers)} of
            {false, _} ->
                gone;
            {true, true} ->
                ok = Call(Node, application, unset_env, [rendez_unwanted, node()]),
                named;
            {true, false} ->
                case lists:member(Node, nodes(hidden)) orelse not (Tells(node()) orelse Tells(Node)) of
                    true ->
                        ok = Call(Node, application, set_env, [rendez_left, node(), true]),
                        _ = erlang:disconnect_node(Node),
                        left;
                    false ->
                        case Call(Node, erlang, function_exported, [global, disconnect, 0]) of
                            true ->
                                ok = Call(Node, application, set_env, [rendez_unwanted, node(), true]),
                                Unwanted = [By || {By, true} <- Call(Node, application, get_all_env, [rendez_unwanted])],
                                Voters = case lists:filter(Connected, Peers) of
                                    [] -> nodes() -- [Node];
                                    Named -> Named
                                end -- Unwanted,
                                Votes = lists:zip3(Voters, Answers(rendez_sup, Voters), Answers(rendez_sidecar, Voters)),
                                Wanted = [By || {By, Sup, Sidecar} <- Votes, HasSay(Sup) orelse HasSay(Sidecar)],
                                Unknown = [By || {By, Sup, Sidecar} <- Votes, Silent(Sup) orelse Silent(Sidecar)],
                                case {Wanted, Unknown} of
                                    {[], []} ->
                                        ok = Call(Node, application, set_env, [rendez_left, Node, node()]),
                                        _ = [Call(Node, application, unset_env, [rendez_unwanted, By]) || By <- Unwanted],
                                        _ = Connected(Node) andalso erpc:cast(Node, global, disconnect, []),
                                        UntilGone(100);
                                    {[], _} ->
                                        {unknown, Unknown};
                                    _ ->
                                        {wanted_by, Wanted}
                                end;
                            false ->
                                old
                        end
                end
        end
    catch
        error:{erpc, Why} ->
            case Connected(Node) of
                true -> {no_answer, Why};
                false -> gone
            end;
        Class:Why ->
            {failed, {Class, Why}}
    end
end.
";

/// Says whether the attached node may connect to `Peer`: see `may_connect/2` of the package. `Who` stands for this
/// session.
const MAY_CONNECT: &str = "
case {application:get_env(rendez_left, node()), application:get_env(rendez_left, Peer)} of
    {{ok, By}, _} ->
        {left, By};
    {undefined, {ok, Told}} ->
        case is_list(Told) andalso lists:member(Who, Told) of
            true ->
                application:unset_env(rendez_left, Peer);
            false ->
                application:set_env(rendez_left, Peer, [Who | [Other || is_list(Told), Other <- lists:sublist(Told, 7)]]),
                goodbye
        end;
    {undefined, undefined} ->
        ok
end.
";

/// Records that the attached node is connected to `Peers`: a node that connects to one that left wants it back. Returns
/// whether the attached node had left until now.
const RETURNED: &str = "
case [Peer || Peer <- Peers, lists:member(Peer, nodes())] of
    [] ->
        false;
    Here ->
        _ = [application:unset_env(rendez_left, Peer) || Peer <- Here, application:get_env(rendez_left, Peer) =/= undefined],
        application:get_env(rendez_left, node()) =/= undefined andalso application:unset_env(rendez_left, node()) =:= ok
end.
";

/// What came of asking a node to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Removal {
    /// The node was asked to leave and left.
    Left,
    /// The node is not connected.
    Gone,
    /// A provider names the node again.
    Named,
    /// The node stays connected for now and is asked again later. The reason, for the log.
    Stays(String),
}

/// Whether the attached node may connect to another one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum May {
    Connect,
    /// The attached node has left, as this node wanted, or it itself.
    Left(String),
    /// The other one said goodbye.
    Goodbye,
}

/// What is evaluated on the attached node.
#[derive(Debug)]
pub(super) struct Leave {
    node: Node,
    target: NodeName,
    /// Stands for this session, where the attached node keeps who was told of a goodbye. It is another one when the
    /// attached node is back: all nodes are tried then, and those that said goodbye are not meant.
    who: Mutex<Term>,
    remove: Program,
    may_connect: Program,
    returned: Program,
}

impl Leave {
    pub(super) fn new(node: Node, target: NodeName) -> Self {
        Self {
            who: Mutex::new(node.reference().into()),
            node,
            target,
            remove: Program::new(REMOVE),
            may_connect: Program::new(MAY_CONNECT),
            returned: Program::new(RETURNED),
        }
    }

    /// Has a node leave that no provider names any longer, unless one of `peers` wants it: the connected nodes that
    /// are named. May take a minute.
    pub(super) async fn remove(&self, leaver: &NodeName, peers: &[NodeName]) -> Removal {
        let bindings = [("Node", atom_of(leaver).into()), ("Peers", atoms(peers))];
        let run = self
            .remove
            .run(&self.node, &self.target, bindings, REMOVING);
        match run.await {
            Ok(value) => removal(&value),
            Err(error) => {
                Removal::Stays(format!("{} cannot ask it to leave: {error}", self.target))
            }
        }
    }

    /// A goodbye counts once in each session: a later attempt comes of a fresh sighting, since the engine was told
    /// that no retry can succeed. What the attached node does not say keeps it from nothing.
    pub(super) async fn may_connect(&self, peer: &NodeName) -> May {
        let who = self.who().clone();
        let bindings = [("Peer", atom_of(peer).into()), ("Who", who)];
        let run = self
            .may_connect
            .run(&self.node, &self.target, bindings, LOOKING);
        match run.await {
            Ok(value) => may(&value),
            Err(error) => {
                tracing::debug!(attached = %self.target, "whether {} has left is not known: {error}", self.target);
                May::Connect
            }
        }
    }

    /// Notes that there are visible connections to these nodes. Whether the attached node had left until now.
    pub(super) async fn returned(&self, peers: &[NodeName]) -> bool {
        let run = self
            .returned
            .run(&self.node, &self.target, [("Peers", atoms(peers))], LOOKING);
        let had_left = matches!(run.await, Ok(had_left) if had_left == Term::from(true));
        if had_left {
            *self.who() = self.node.reference().into();
        }
        had_left
    }

    fn who(&self) -> MutexGuard<'_, Term> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn atoms(names: &[NodeName]) -> Term {
    Term::List(names.iter().map(|name| atom_of(name).into()).collect())
}

fn removal(value: &Term) -> Removal {
    let words: (&str, Option<&Term>) = match value {
        Term::Atom(word) => (word.as_str(), None),
        Term::Tuple(pair) => match pair.as_slice() {
            [Term::Atom(word), detail] => (word.as_str(), Some(detail)),
            _ => ("", None),
        },
        _ => ("", None),
    };
    let why = match words {
        ("left", None) => return Removal::Left,
        ("gone", None) => return Removal::Gone,
        ("named", None) => return Removal::Named,
        ("old", None) => {
            "it runs an OTP before 25.1, which cannot leave without harm to others".to_owned()
        }
        ("still_connected", None) => "it was asked to leave, and is still connected".to_owned(),
        ("no_answer", Some(why)) => format!("it does not answer ({})", why.shown_in(SHOWN)),
        ("unknown", Some(nodes)) => {
            format!("{} do not say whether they want it", nodes.shown_in(SHOWN))
        }
        ("wanted_by", Some(nodes)) => format!(
            "to cut it off alone would harm the nodes that stay, and {} did not remove it (yet): their sources name \
             it, or their on_removed is keep",
            nodes.shown_in(SHOWN)
        ),
        ("failed", Some(why)) => format!("it cannot be asked to leave ({})", why.shown_in(SHOWN)),
        _ => format!("the answer is not understood: {}", value.shown_in(SHOWN)),
    };
    Removal::Stays(why)
}

/// How much of a term is shown in a message, in bytes.
const SHOWN: usize = 300;

fn may(value: &Term) -> May {
    let left = |by: &Atom| May::Left(by.as_str().to_owned());
    match value {
        Term::Atom(word) if *word == *"goodbye" => May::Goodbye,
        Term::Tuple(pair) => match pair.as_slice() {
            [Term::Atom(word), Term::Atom(by)] if *word == *"left" => left(by),
            _ => May::Connect,
        },
        _ => May::Connect,
    }
}
