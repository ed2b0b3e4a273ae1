%% @doc Connects by OTP's distribution without keeping `net_kernel' waiting.
%%
%% `net_kernel' looks up the host of a node in its own process, which takes 8 seconds where the name
%% servers are silent. Ticks and the connections of others wait meanwhile, and healthy connections end
%% for want of ticks. So `net_kernel:connect_node/1' is called only for a node of which everything that
%% can take time, or that OTP would log an error about, was found out before, in this process
%% ({@link rendez_diagnose:reach/2}); and `net_kernel' has at most one such call to begin with at a
%% time. It hands each on to a process of its own, so an address that does not answer delays no other.
-module(rendez_dial).

-export([connect/2]).

%% Who has its turn at net_kernel.
-define(TURN, rendez_dial_turn).

%% @doc Connects to the node. Options: `connect' (`visible' or `hidden'), `longnames', and `last', why the
%% last attempt failed.
-spec connect(node(), map()) -> rendez_dist:result().
connect(Node, Options) ->
    case lists:member(Node, nodes(connected)) of
        true ->
            ok;
        false ->
            case rendez_diagnose:reach(Node, maps:with([longnames], Options)) of
                {ok, Reached} -> dial(Node, Reached, Options);
                {error, Why} -> {error, Why}
            end
    end.

dial(Node, Reached, Options) ->
    Turn = rendez_turn:take([?TURN]),
    case rendez_diagnose:allowed(Node, net_kernel:allowed()) of
        ok ->
            {Pid, Monitor} = spawn_monitor(fun() -> exit({answer, connect_node(Node, Options)}) end),
            %% A call is answered after those that came before it.
            ok = has_asked(Pid),
            _ = net_kernel:allowed(),
            ok = rendez_turn:give_back(Turn),
            receive
                {'DOWN', Monitor, process, Pid, {answer, true}} ->
                    ok;
                {'DOWN', Monitor, process, Pid, {answer, ignored}} ->
                    {error, {failed, <<"this node is not alive: start it with -name or -sname">>}};
                {'DOWN', Monitor, process, Pid, _} ->
                    case lists:member(Node, nodes(connected)) of
                        %% The other end was first.
                        true -> ok;
                        false -> {error, rendez_diagnose:why_not(Reached, maps:with([last], Options))}
                    end
            end;
        {error, Why} ->
            ok = rendez_turn:give_back(Turn),
            {error, Why}
    end.

connect_node(Node, #{connect := hidden}) -> net_kernel:hidden_connect_node(Node);
connect_node(Node, _) -> net_kernel:connect_node(Node).

%% Waits until the process waits for the answer of net_kernel, or has it.
has_asked(Pid) ->
    case process_info(Pid, status) of
        undefined -> ok;
        {status, waiting} -> ok;
        _ -> receive after 1 -> has_asked(Pid) end
    end.
