%% @doc Connects by OTP's distribution without keeping `net_kernel' waiting.
%%
%% `net_kernel' looks up the host of a node in its own process, which takes 8 seconds where the name
%% servers are silent. Ticks and the connections of others wait meanwhile, and healthy connections end
%% for want of ticks. So `net_kernel:connect_node/1' is called only for a node of which everything that
%% can take time, or that OTP would log an error about, was found out before, in this process
%% ({@link rendez_diagnose:reach/2}); and `net_kernel' has at most one such call to begin with at a
%% time. It hands each on to a process of its own, so an address that does not answer delays no other.
%%
%% A node whose connection was lost may sleep (SIGSTOP, a paused virtual machine): the kernel of its host takes
%% connections for it, and it goes on with their handshakes the moment it wakes, before it has seen that all of its
%% old connections are closed. Of each of these its `global' then tells the nodes at the other end of the new ones,
%% and these cut their own, healthy connections to the nodes that it lost. So it is not asked for a connection
%% while it does not answer, and when it does, it gets time to see what it lost
%% ({@link rendez_diagnose:answers/1}).
-module(rendez_dial).

-export([connect/2]).

%% Who has its turn at net_kernel.
-define(TURN, rendez_dial_turn).
%% How long a node that answers gets to see what it lost. It may have woken a moment ago.
-define(AWAKE_MS, 500).

%% @doc Connects to the node. Options: `connect' (`visible' or `hidden'), `longnames', `last', why the
%% last attempt failed, and `lost', whether there was a connection which was lost.
-spec connect(node(), map()) -> rendez_dist:result().
connect(Node, Options) ->
    case lists:member(Node, nodes(connected)) of
        true ->
            ok;
        false ->
            case rendez_diagnose:reach(Node, maps:with([longnames], Options)) of
                {ok, Reached} ->
                    case is_awake(Reached, Options) of
                        ok -> dial(Node, Reached, Options);
                        {error, Why} -> {error, Why}
                    end;
                {error, Why} ->
                    {error, Why}
            end
    end.

is_awake(Reached, #{lost := true}) ->
    case rendez_diagnose:answers(Reached) of
        ok -> receive after ?AWAKE_MS -> ok end;
        {error, Why} -> {error, Why}
    end;
is_awake(_, _) ->
    ok.

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
