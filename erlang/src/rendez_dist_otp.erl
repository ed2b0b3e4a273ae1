%% @doc OTP's own distribution.
%%
%% Connects with `net_kernel:connect_node/1' and, where that only says `false', finds out why
%% ({@link rendez_diagnose}). Hidden nodes do not count as members.
%%
%% OTP's distribution asks EPMD for a node's port and takes none from elsewhere. A port that is known
%% already, from an SRV record, is used only where the node runs with `-epmd_module rendez_epmd'
%% ({@link rendez_epmd}).
-module(rendez_dist_otp).
-behaviour(rendez_dist).

-export([init/1, members/1, connect/2, connect/3, disconnect/2, handle_info/2]).

-spec init(map()) -> {ok, nil} | {error, term()}.
init(_Options) ->
    %% Subscriptions add up, and a cluster that begins again comes here again.
    Which = [{node_type, visible}, nodedown_reason],
    _ = net_kernel:monitor_nodes(false, Which),
    case net_kernel:monitor_nodes(true, Which) of
        ok -> {ok, nil};
        Other -> {error, Other}
    end.

-spec members(nil) -> [node()].
members(_) -> nodes(visible).

-spec connect(node(), nil) -> rendez_dist:result().
connect(Node, _) ->
    ok = rendez_epmd:forget(Node),
    connect(Node).

-spec connect(node(), rendez_dist:info(), nil) -> rendez_dist:result().
connect(Node, #{port := Port}, _) ->
    ok = rendez_epmd:learn(Node, Port),
    connect(Node);
connect(Node, _, State) ->
    connect(Node, State).

connect(Node) ->
    case net_kernel:connect_node(Node) of
        true -> ok;
        false -> {error, rendez_diagnose:why(Node)};
        ignored -> {error, {failed, <<"this node is not alive: start it with -name or -sname">>}}
    end.

-spec disconnect(node(), nil) -> ok.
disconnect(Node, _) ->
    _ = erlang:disconnect_node(Node),
    ok.

-spec handle_info(term(), nil) -> {up, node()} | {down, node()} | ignore.
handle_info({nodeup, Node, _}, _) -> {up, Node};
handle_info({nodedown, Node, _}, _) -> {down, Node};
handle_info(_, _) -> ignore.
