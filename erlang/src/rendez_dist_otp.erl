%% @doc OTP's own distribution.
%%
%% Connects with `net_kernel:connect_node/1', or `net_kernel:hidden_connect_node/1' where the cluster's option
%% `connect' is `hidden', after everything was found out that would keep `net_kernel' waiting
%% ({@link rendez_dial}). Connections to hidden nodes count for those nodes that a provider names.
%%
%% OTP's distribution asks EPMD for a node's port and takes none from elsewhere. A port that is known
%% already, from an SRV record, is used only where the node runs with `-epmd_module rendez_epmd'
%% ({@link rendez_epmd}).
-module(rendez_dist_otp).
-behaviour(rendez_dist).

-export([init/1, members/1, connect/2, connect/3, disconnect/2, disconnect/3, handle_info/2]).

-type state() :: #{longnames := boolean(), connect := visible | hidden}.

-spec init(map()) -> {ok, state()} | {error, term()}.
init(Options) ->
    %% Subscriptions add up, and a cluster that begins again comes here again.
    Which = [{node_type, all}, nodedown_reason],
    _ = net_kernel:monitor_nodes(false, Which),
    case net_kernel:monitor_nodes(true, Which) of
        %% Asked once: net_kernel may be busy when it matters.
        ok -> {ok, #{longnames => net_kernel:longnames() =:= true, connect => maps:get(connect, Options, visible)}};
        Other -> {error, Other}
    end.

-spec members(state()) -> [node() | {hidden, node()}].
members(_) -> nodes(visible) ++ [{hidden, Node} || Node <- nodes(hidden)].

-spec connect(node(), state()) -> rendez_dist:result().
connect(Node, State) ->
    connect(Node, #{}, State).

%% `last' is why the last attempt failed, where finding that out again would cost the node an error line; `lost' says
%% that there was a connection which was lost.
-spec connect(node(), map(), state()) -> rendez_dist:result().
connect(Node, Info, State) ->
    ok = case Info of
        #{port := Port} -> rendez_epmd:learn(Node, Port);
        _ -> rendez_epmd:forget(Node)
    end,
    rendez_dial:connect(Node, maps:merge(State, maps:with([last, lost], Info))).

-spec disconnect(node(), state()) -> ok.
disconnect(Node, State) ->
    _ = disconnect(Node, #{peers => []}, State),
    ok.

-spec disconnect(node(), #{peers := [node()]}, state()) -> rendez_leave:removal().
disconnect(Node, #{peers := Peers}, _) ->
    rendez_leave:remove(Node, Peers).

-spec handle_info(term(), state()) ->
    {up, node()} | {up, node(), hidden} | {down, node(), term()} | ignore.
handle_info({nodeup, Node, Info}, _) ->
    case proplists:get_value(node_type, Info) of
        hidden -> {up, Node, hidden};
        _ -> {up, Node}
    end;
handle_info({nodedown, Node, Info}, _) ->
    {down, Node, proplists:get_value(nodedown_reason, Info)};
handle_info(_, _) ->
    ignore.
