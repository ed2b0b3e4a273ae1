%% @doc How a node leaves a cluster without harm to the nodes that stay.
%%
%% Since OTP 25 `global' prevents overlapping partitions: where one node disconnects another with
%% `erlang:disconnect_node/1', `global' on both tells all others, and these cut connections between nodes that
%% stay. `global:disconnect/0', called on the leaving node, ends no other connection. So a node that
%% no provider names any longer is not cut off: it is asked to leave, and only when no node that stays wants it.
%%
%% What the nodes agree on is kept in their application environments, and nothing but OTP's own functions is
%% called on another node, so that a node without Rendez can be asked to leave too. The sidecar
%% (`src/sidecar/leave.rs') does the same for the node that it is attached to, and is recognised by the name of
%% its process there.
%%
%% - `rendez_unwanted' on the node that is to go: the nodes that want it no longer.
%% - `rendez_left' on a node: that it has left itself, because of which node, and which other nodes said
%%   goodbye: `true', or a list of those clusters here, as they began, that were told of it. Rendez does not connect to anyone, or
%%   to those nodes, because of what a provider named before.
-module(rendez_leave).

-export([remove/2, goodbye/1, may_connect/2, is_up/1, rejoin/0, has_left/0]).

-define(UNWANTED, rendez_unwanted).
-define(LEFT, rendez_left).

%% How long a call to another node may take.
-define(CALL_MS, 5000).
%% How often, and at most how many times, it is looked whether a node that was asked to leave is gone.
-define(GONE, {50, 100}).
%% How many clusters are remembered that were told of a goodbye.
-define(TOLD, 8).

-type removal() :: left                                    %% The node was asked to leave and left.
                 | gone                                    %% The node is not connected.
                 | named                                   %% A provider names the node again.
                 | {wanted_by, [node()]}                   %% These nodes have not removed it, or not yet.
                 | {error, Message :: binary()}.           %% The node cannot be asked; its connection stays.
-export_type([removal/0]).

%% @doc Asks a node that no provider names any longer to leave, unless one of the `Peers' still wants it. `Peers' are
%% the connected nodes that are named. May take some seconds.
%%
%% The connection to a node that does not answer stays until `net_ticktime' ends it. Closing it from this side would make
%% `global' end connections between other nodes.
-spec remove(node(), Peers :: [node()]) -> removal().
remove(Node, Peers) ->
    Here = is_connected(Node),
    Hidden = lists:member(Node, nodes(hidden)),
    Named = lists:member(Node, Peers),
    try
        if
            not Here ->
                gone;
            Named ->
                ok = call(Node, application, unset_env, [?UNWANTED, node()]),
                named;
            true ->
                %% `global' knows nothing of hidden connections.
                case Hidden orelse (not tells_others(node()) andalso not tells_others(Node)) of
                    true -> part(Node);
                    false -> ask(Node, Peers)
                end
        end
    catch
        error:{erpc, Reason} ->
            case is_connected(Node) of
                true -> {error, text("it does not answer (~0tp)", [Reason])};
                false -> gone
            end;
        Class:Reason ->
            {error, text("it cannot be asked to leave (~0tP:~0tP)", [Class, 5, Reason, 12])}
    end.

ask(Node, Peers) ->
    case call(Node, erlang, function_exported, [global, disconnect, 0]) of
        true ->
            ok = call(Node, application, set_env, [?UNWANTED, node(), true]),
            Unwanted = [Who || {Who, true} <- call(Node, application, get_all_env, [?UNWANTED])],
            case with_rendez(voters(Node, Peers) -- Unwanted) of
                [] ->
                    ok = call(Node, application, set_env, [?LEFT, Node, node()]),
                    lists:foreach(fun(Who) -> call(Node, application, unset_env, [?UNWANTED, Who]) end, Unwanted),
                    %% A cast connects to a node that has gone meanwhile.
                    _ = is_connected(Node) andalso erpc:cast(Node, global, disconnect, []),
                    until_gone(Node, ?GONE);
                {error, Silent} ->
                    {error, text("~0tP do not say whether they want it", [Silent, 12])};
                Others ->
                    {wanted_by, Others}
            end;
        false ->
            {error, <<"it runs an OTP before 25.1, which cannot leave without harm to others">>}
    end.

%% The nodes that vote on a removal: the connected nodes that are named. If there are none, for example because the answer of
%% a provider was empty, all other connected nodes vote, so that one node alone cannot remove the others.
voters(Node, Peers) ->
    case lists:filter(fun is_connected/1, Peers) of
        [] -> nodes() -- [Node];
        Voters -> Voters
    end.

%% Whether `global' on a node tells others when a connection of its is lost, so that they cut connections too.
tells_others(Node) ->
    Setting = fun(Key) -> call(Node, application, get_env, [kernel, Key]) end,
    Setting(prevent_overlapping_partitions) =/= {ok, false} andalso Setting(connect_all) =/= {ok, false}.

%% Ends one connection of which `global' takes no notice. The other node does not make it anew.
part(Node) ->
    ok = call(Node, application, set_env, [?LEFT, node(), true]),
    _ = erlang:disconnect_node(Node),
    left.

%% The nodes among `Voters' that run Rendez or have a sidecar. The others do not vote, nor does a node that is not a BEAM.
with_rendez(Voters) ->
    Answers = [erpc:multicall(Voters, erlang, whereis, [Name], ?CALL_MS) || Name <- [rendez_sup, rendez_sidecar]],
    Votes = lists:append([lists:zip(Voters, Some) || Some <- Answers]),
    case lists:usort([Node || {Node, {ok, Pid}} <- Votes, is_pid(Pid)]) of
        [] ->
            case lists:usort([Node || {Node, {error, {erpc, _}}} <- Votes]) of
                [] -> [];
                Silent -> {error, Silent}
            end;
        Others ->
            Others
    end.

is_connected(Node) -> lists:member(Node, [node() | nodes(connected)]).

until_gone(Node, {Pause, Times}) ->
    case is_connected(Node) of
        false -> left;
        true when Times > 0 -> timer:sleep(Pause), until_gone(Node, {Pause, Times - 1});
        true -> {error, <<"it was asked to leave, and is still connected">>}
    end.

%% @doc Says goodbye to all visible nodes and to these hidden ones, and ends the connections to them. Other hidden
%% nodes are a remote shell, a sidecar or a tool.
-spec goodbye([node()]) -> ok.
goodbye(Hidden) ->
    Nodes = nodes() ++ Hidden,
    ok = application:set_env(?LEFT, node(), node()),
    %% A node that does not hear of it would connect again, and so is waited for.
    _ = erpc:multicall(Nodes, application, set_env, [?LEFT, node(), true], ?CALL_MS),
    _ = case erlang:function_exported(global, disconnect, 0) of
        true -> global:disconnect();
        false -> ok
    end,
    lists:foreach(fun erlang:disconnect_node/1, Hidden).

%% @doc Whether a cluster may connect to a node now. A goodbye counts once for each cluster, and for one that has
%% begun again, of which `Session' is another: a later attempt comes of a fresh sighting, since the first one was
%% told that no retry can succeed.
-spec may_connect(node(), Session :: reference()) -> ok | {error, {left, Message :: binary()}}.
may_connect(Node, Session) ->
    case {left_because_of(node()), left_because_of(Node)} of
        {{ok, By}, _} ->
            {error, {left, text("this node has left the cluster (~ts); it joins again when another node connects to it, "
                                "or by rendez:refresh/1", [because(By)])}};
        {undefined, {ok, Told}} ->
            Sessions = [Other || is_list(Told), Other <- Told],
            case lists:member(Session, Sessions) of
                true ->
                    application:unset_env(?LEFT, Node);
                false ->
                    ok = application:set_env(?LEFT, Node, lists:sublist([Session | Sessions], ?TOLD)),
                    {error, {left, <<"it said goodbye; it is connected again when a provider names it anew">>}}
            end;
        {undefined, undefined} ->
            ok
    end.

because(By) when By =:= node() -> <<"it was asked to by its own application">>;
because(By) -> text("~ts removed it", [By]).

%% @doc Records that a node is connected: a node that connects to one that left wants it back. Returns whether this
%% node had left until now.
-spec is_up(node()) -> boolean().
is_up(Node) ->
    case left_because_of(Node) of
        undefined -> ok;
        {ok, _} -> application:unset_env(?LEFT, Node)
    end,
    rejoin().

%% @doc Ends that this node has left. Says whether it had.
-spec rejoin() -> boolean().
rejoin() ->
    has_left() andalso application:unset_env(?LEFT, node()) =:= ok.

%% @doc Whether this node has left.
-spec has_left() -> boolean().
has_left() -> left_because_of(node()) =/= undefined.

left_because_of(Node) -> application:get_env(?LEFT, Node).

%% `erpc' connects to a node that is not connected, and so would bring back the one that has just left.
call(Node, Module, Function, Arguments) ->
    case is_connected(Node) of
        true -> erpc:call(Node, Module, Function, Arguments, ?CALL_MS);
        false -> error({erpc, noconnection})
    end.

text(Format, Arguments) -> unicode:characters_to_binary(io_lib:format(Format, Arguments)).
