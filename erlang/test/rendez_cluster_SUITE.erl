%% @doc Clusters of real nodes.
-module(rendez_cluster_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(config(Key, Config), proplists:get_value(Key, Config)).

all() ->
    [joins_and_tells,
     sees_a_node_go_and_come_back,
     a_silent_peer_holds_up_no_one_else,
     says_why_the_cookie_does_not_fit,
     a_module_provider_that_crashes_removes_nothing,
     begins_when_the_node_becomes_alive,
     an_empty_environment_starts_nothing,
     the_environment_starts_clusters,
     the_environment_is_refused_in_words,
     two_clusters_side_by_side,
     ends_with_its_owner,
     a_distribution_of_the_users_own,
     clusters_over_different_distributions,
     a_removed_node_is_kept_or_disconnected_after_its_grace,
     a_removed_node_leaves_and_no_one_who_stays_loses_a_connection,
     a_node_that_leaves_is_not_connected_again_and_harms_no_one,
     a_removed_node_that_hangs_is_left_alone,
     a_source_that_names_no_one_for_a_time_takes_no_cluster_apart,
     a_node_that_said_goodbye_stays_away_when_the_cluster_begins_anew,
     without_reconnection_a_lost_node_stays_lost,
     a_node_that_goes_on_under_another_name,
     a_node_that_is_not_alive_for_a_while,
     no_atom_for_a_name_that_is_not_connected_to,
     forty_nodes_down_at_once,
     ninety_five_dead_names_are_few_lines,
     reloading_the_library_while_clusters_run,
     a_hidden_peer_is_joined_once_and_stays,
     a_hidden_node_sees_its_peers_joined_once,
     a_node_without_a_name_of_its_own_joins_once_and_stays,
     a_remote_shell_is_no_peer,
     hidden_connections_where_they_are_asked_for,
     this_node_under_another_address_is_not_connected_to,
     a_name_of_the_other_kind_is_told_once_and_not_retried,
     a_host_that_only_the_epmd_module_knows,
     why_a_peer_left_is_in_the_event].

init_per_testcase(_, Config) ->
    process_flag(trap_exit, true),
    [{epmd, rendez_peers:epmd()} | Config].

end_per_testcase(_, Config) ->
    rendez_peers:stop_epmd(?config(epmd, Config)),
    ok.

-define(LIST(Names), [{via, {list, [{node_list, Names}]}}]).

%% Runs `Fun' with these nodes, and ends them.
with(Config, Names, Fun) ->
    Peers = [rendez_peers:start(?config(epmd, Config), Name) || Name <- Names],
    try apply(Fun, Peers)
    after lists:foreach(fun rendez_peers:stop/1, Peers)
    end.

rpc(Peer, Function, Arguments) -> rendez_peers:call(Peer, ?MODULE, Function, Arguments).

start_cluster(Peer, Options) ->
    {ok, _} = rendez_peers:call(Peer, application, ensure_all_started, [rendez]),
    {ok, Pid} = rpc(Peer, listen, [Options]),
    Pid.

%% On the peer: starts a cluster, and a process that keeps its events. What happens before the
%% subscription, such as a discovery, is not among them.
listen(Options) ->
    Self = self(),
    Pid = spawn(fun() ->
        receive start -> ok end,
        Started = rendez:start_cluster(Options),
        ok = rendez:subscribe(maps:get(name, maps:from_list(Options), rendez)),
        Self ! {self(), Started},
        keep([])
    end),
    is_pid(whereis(listener)) andalso unregister(listener),
    true = register(listener, Pid),
    Pid ! start,
    receive {Pid, Started} -> Started end.

keep(Events) ->
    receive
        {rendez, _, Event} -> keep([Event | Events]);
        {events, From} -> From ! {events, lists:reverse(Events)}, keep(Events)
    end.

events() ->
    listener ! {events, self()},
    receive {events, Events} -> Events after 60_000 -> error(no_listener) end.

has_event(Peer, Kind, Subject) ->
    case [Info || {K, S, Info} <- rpc(Peer, events, []), K =:= Kind, S =:= Subject] of
        [] -> false;
        [Info | _] -> {true, Info}
    end.

event(Peer, Kind, Subject) ->
    rendez_peers:until(fun() -> has_event(Peer, Kind, Subject) =/= false end),
    {true, Info} = has_event(Peer, Kind, Subject),
    Info.

joins_and_tells(Config) ->
    with(Config, [a, b], fun(A, B) ->
        start_cluster(A, ?LIST(['b@127.0.0.1', "c@127.0.0.1"])),
        Joined = event(A, joined, 'b@127.0.0.1'),
        ?assertMatch(#{after_ms := Ms} when is_integer(Ms), Joined),
        ?assertEqual(['b@127.0.0.1'], rendez_peers:call(A, erlang, nodes, [])),
        ?assertEqual(['b@127.0.0.1'], rendez_peers:call(A, rendez, peers, [rendez])),
        ?assertEqual(['a@127.0.0.1'], rendez_peers:call(B, erlang, nodes, [])),
        ?assertMatch(#{reason := not_registered, attempts := N, message := M} when N >= 1 andalso is_binary(M),
                     event(A, connect_failed, 'c@127.0.0.1')),
        Status = rendez_peers:call(A, rendez, status, [rendez]),
        ?assertMatch(#{alive := true, cluster := rendez, connected := ['b@127.0.0.1'],
                       providers := [#{name := <<"list">>, nodes := 2}]}, Status),
        %% Neither the own name nor anything else comes twice after a refresh.
        ok = rendez_peers:call(A, rendez, refresh, [rendez]),
        ok = rendez_peers:call(A, rendez, stop_cluster, [rendez]),
        ?assertEqual(['b@127.0.0.1'], rendez_peers:call(A, erlang, nodes, []))
    end).

sees_a_node_go_and_come_back(Config) ->
    with(Config, [a], fun(A) ->
        B = rendez_peers:start(?config(epmd, Config), b),
        start_cluster(A, ?LIST(['b@127.0.0.1'])),
        event(A, joined, 'b@127.0.0.1'),
        rendez_peers:stop(B),
        event(A, left, 'b@127.0.0.1'),
        rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [rendez]) =:= [] end),
        B2 = rendez_peers:start(?config(epmd, Config), b),
        try
            ok = rendez_peers:call(A, rendez, refresh, [rendez]),
            rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [rendez]) =:= ['b@127.0.0.1'] end)
        after
            rendez_peers:stop(B2)
        end
    end).

%% A socket that accepts and never answers, registered with EPMD as a node: connecting to it takes
%% net_setuptime. Meanwhile another node joins.
a_silent_peer_holds_up_no_one_else(Config) ->
    {EpmdPort, _} = ?config(epmd, Config),
    {ok, Silent} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, {active, false}]),
    {ok, Port} = inet:port(Silent),
    {ok, Registration} = gen_tcp:connect({127, 0, 0, 1}, EpmdPort, [binary, {active, false}]),
    %% ALIVE2_REQ of a normal node named `silent'.
    Request = <<120, Port:16, 77, 0, 6:16, 5:16, 6:16, "silent", 0:16>>,
    ok = gen_tcp:send(Registration, <<(byte_size(Request)):16, Request/binary>>),
    {ok, <<_, 0, _/binary>>} = gen_tcp:recv(Registration, 0, 60_000),
    with(Config, [a, b], fun(A, _B) ->
        start_cluster(A, ?LIST(['silent@127.0.0.1', 'b@127.0.0.1'])),
        event(A, joined, 'b@127.0.0.1'),
        ?assertMatch(#{reason := timeout}, event(A, connect_failed, 'silent@127.0.0.1')),
        %% The other one joined while the attempt at the silent one was under way: nothing waited for it.
        Told = [{Kind, Node} || {Kind, Node, _} <- rpc(A, events, []), Kind =:= joined orelse Kind =:= connect_failed],
        ?assertMatch([{joined, 'b@127.0.0.1'}, {connect_failed, 'silent@127.0.0.1'} | _], Told)
    end),
    gen_tcp:close(Registration),
    gen_tcp:close(Silent).

says_why_the_cookie_does_not_fit(Config) ->
    with(Config, [a], fun(A) ->
        B = rendez_peers:start(?config(epmd, Config), b, #{cookie => "another"}),
        try
            start_cluster(A, ?LIST(['b@127.0.0.1'])),
            #{reason := Reason, message := Message} = event(A, connect_failed, 'b@127.0.0.1'),
            ?assertEqual(cookie, Reason),
            ?assertNotEqual(nomatch, string:find(Message, "set the same cookie")),
            ?assertEqual(nomatch, string:find(Message, "a-cookie-of-the-tests"))
        after
            rendez_peers:stop(B)
        end
    end).

a_module_provider_that_crashes_removes_nothing(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        Say = fun(What) -> rendez_peers:call(A, rendez_test_provider, say, [What]) end,
        Say(['b@127.0.0.1']),
        Pid = start_cluster(A, [{via, rendez_test_provider}, {interval, "50ms"}, {timeout, "200ms"}]),
        Name = <<"rendez_test_provider">>,
        event(A, joined, 'b@127.0.0.1'),
        lists:foreach(fun({What, Part}) ->
            Say(What),
            ok = rendez_peers:call(A, rendez, refresh, [rendez]),
            rendez_peers:until(fun() ->
                ok = rendez_peers:call(A, rendez, refresh, [rendez]),
                #{providers := [Provider]} = rendez_peers:call(A, rendez, status, [rendez]),
                string:find(maps:get(message, Provider, <<>>), Part) =/= nomatch
            end),
            ?assertEqual(['b@127.0.0.1'], rendez_peers:call(A, rendez, peers, [rendez]))
        end, [{crash, "crashed_on_purpose"},
              {killed, "ended with killed"},
              {hang, "no answer within 200 ms"},
              {not_a_list, "list of node names"},
              {[b, 17], "one is 17"},
              {[<<"no host">>], "no node name"}]),
        ?assertMatch(#{message := _}, event(A, provider_failed, Name)),
        ?assertEqual(false, has_event(A, withdrawn, <<"b@127.0.0.1">>)),
        Say([<<"b@127.0.0.1">>]),
        ok = rendez_peers:call(A, rendez, refresh, [rendez]),
        event(A, provider_recovered, Name),
        %% An empty answer is an answer.
        Say([]),
        event(A, withdrawn, <<"b@127.0.0.1">>),
        ?assertEqual(Pid, rendez_peers:call(A, erlang, whereis, [rendez]))
    end).

begins_when_the_node_becomes_alive(Config) ->
    with(Config, [b], fun(_B) ->
        A = rendez_peers:start_dead(?config(epmd, Config)),
        try
            ok = rpc(A, keep_log, []),
            start_cluster(A, ?LIST(['b@127.0.0.1'])),
            ?assertMatch(#{alive := false, connected := []}, rendez_peers:call(A, rendez, status, [rendez])),
            ?assertEqual([], rendez_peers:call(A, rendez, peers, [rendez])),
            ok = rendez_peers:call(A, rendez, refresh, [rendez]),
            timer:sleep(2500),
            ?assertMatch([_], [Line || Line <- rpc(A, log_lines, []), string:find(Line, "not alive") =/= nomatch]),
            {ok, _} = rendez_peers:call(A, net_kernel, start, ['a@127.0.0.1', #{name_domain => longnames}]),
            event(A, joined, 'b@127.0.0.1'),
            ?assertMatch(#{alive := true, node := 'a@127.0.0.1'}, rendez_peers:call(A, rendez, status, [rendez]))
        after
            rendez_peers:stop(A)
        end
    end).

%% A logger handler that keeps the lines in a table.
keep_log() ->
    Self = self(),
    spawn(fun() ->
        log_table = ets:new(log_table, [named_table, public, ordered_set]),
        Self ! ready,
        receive after infinity -> ok end
    end),
    receive ready -> ok end,
    ok = logger:set_primary_config(level, debug),
    logger:add_handler(keeper, ?MODULE, #{level => debug}).

log(Event, _Config) ->
    #{level := Level, meta := Meta} = Event,
    Line = unicode:characters_to_binary(logger_formatter:format(Event, #{single_line => true})),
    ets:insert(log_table, {erlang:unique_integer([monotonic]), Level, Meta, Line}),
    ok.

log_lines() -> [Line || {_, _, _, Line} <- ets:tab2list(log_table)].

an_empty_environment_starts_nothing(Config) ->
    with(Config, [a], fun(A) ->
        {ok, _} = rendez_peers:call(A, application, ensure_all_started, [rendez]),
        ?assertEqual([], rendez_peers:call(A, supervisor, which_children, [rendez_sup]))
    end).

the_environment_starts_clusters(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        ok = rendez_peers:call(A, application, load, [rendez]),
        lists:foreach(fun({Key, Value}) -> ok = rendez_peers:call(A, application, set_env, [rendez, Key, Value]) end,
                      [{via, list}, {node_list, ['b@127.0.0.1']},
                       {clusters, [{second, [{via, self}]}, #{name => third, via => self}]}]),
        {ok, _} = rendez_peers:call(A, application, ensure_all_started, [rendez]),
        rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [rendez]) =:= ['b@127.0.0.1'] end),
        ?assertEqual([second, third],
                     [maps:get(cluster, rendez_peers:call(A, rendez, status, [Name])) || Name <- [second, third]])
    end).

the_environment_is_refused_in_words(Config) ->
    with(Config, [a], fun(A) ->
        ok = rendez_peers:call(A, application, load, [rendez]),
        Try = fun(Env) ->
            lists:foreach(fun(Key) -> rendez_peers:call(A, application, unset_env, [rendez, Key]) end,
                          [via, dns_nam, clusters, dns_name]),
            lists:foreach(fun({Key, Value}) -> rendez_peers:call(A, application, set_env, [rendez, Key, Value]) end, Env),
            {error, {rendez, {{invalid_options, Message}, _}}} =
                rendez_peers:call(A, application, ensure_all_started, [rendez]),
            Message
        end,
        ?assertNotEqual(nomatch, string:find(Try([{via, dns}, {dns_nam, "x"}]), "did you mean dns_name?")),
        ?assertNotEqual(nomatch, string:find(Try([{dns_name, "x"}]), "via")),
        ?assertNotEqual(nomatch, string:find(Try([{clusters, [[{via, self}]]}]), "name")),
        ?assertNotEqual(nomatch, string:find(Try([{clusters, [{x, [{via, self}]}, {x, [{via, self}]}]}]), "twice"))
    end).

two_clusters_side_by_side(Config) ->
    with(Config, [a, b, c], fun(A, _B, _C) ->
        start_cluster(A, [{name, one} | ?LIST(['b@127.0.0.1'])]),
        start_cluster(A, [{name, two} | ?LIST(['c@127.0.0.1'])]),
        rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [one]) =:= ['b@127.0.0.1'] end),
        rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [two]) =:= ['c@127.0.0.1'] end),
        ok = rendez_peers:call(A, rendez, stop_cluster, [one]),
        ?assertEqual({error, not_found}, rendez_peers:call(A, rendez, stop_cluster, [one])),
        ?assertEqual(['c@127.0.0.1'], rendez_peers:call(A, rendez, peers, [two]))
    end).

%% Killed, it cannot stop the native side; the end of the owner does. The supervisor starts another.
ends_with_its_owner(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        Pid = start_cluster(A, ?LIST(['b@127.0.0.1'])),
        event(A, joined, 'b@127.0.0.1'),
        rendez_peers:call(A, erlang, exit, [Pid, kill]),
        rendez_peers:until(fun() ->
            New = rendez_peers:call(A, erlang, whereis, [rendez]),
            is_pid(New) andalso New =/= Pid
        end),
        rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [rendez]) =:= ['b@127.0.0.1'] end)
    end).

a_distribution_of_the_users_own(Config) ->
    with(Config, [a], fun(A) ->
        ok = rpc(A, dist_table, []),
        start_cluster(A, [{dist, {?MODULE, #{greeting => hello}}} | ?LIST(["b@127.0.0.1", "refused@127.0.0.1"])]),
        event(A, joined, 'b@127.0.0.1'),
        ?assertMatch(#{reason := refused, message := <<"as told">>}, event(A, connect_failed, 'refused@127.0.0.1')),
        %% It sends no notices: the members are compared.
        true = rendez_peers:call(A, ets, delete, [dist_table, 'b@127.0.0.1']),
        event(A, left, 'b@127.0.0.1')
    end).

%% What an operator sees of 95 nodes that cannot be connected, and of the one that can.
ninety_five_dead_names_are_few_lines(Config) ->
    with(Config, [a], fun(A) ->
        ok = rpc(A, dist_table, []),
        ok = rpc(A, keep_log, []),
        Dead = ["refused" ++ integer_to_list(N) ++ "@127.0.0.1" || N <- lists:seq(1, 95)],
        Started = erlang:monotonic_time(second),
        start_cluster(A, [{dist, {?MODULE, #{greeting => hello}}} | ?LIST(["b@127.0.0.1" | Dead])]),
        Lines = fun() -> rendez_peers:call(A, ets, tab2list, [log_table]) end,
        rendez_peers:until(fun() ->
            [] =/= [Line || {_, warning, #{event := connect_failed_summary, count := 95}, Line} <- Lines()]
        end, 60_000),
        All = Lines(),
        [Sum | _] = [Line || {_, warning, #{event := connect_failed_summary, count := 95}, Line} <- All],
        ?assertMatch({match, _}, re:run(Sum, "warning: rendez: 95 peers cannot be connected: 95 refused "
                                             "\\(refused10@127.0.0.1, refused11@127.0.0.1, refused12@127.0.0.1 and 92 more\\)")),
        ?assertMatch([_], [Line || {_, info, #{event := joined, node := 'b@127.0.0.1'}, Line} <- All]),
        Single = [Meta || {_, warning, #{event := connect_failed} = Meta, _} <- All],
        %% Five at once, and one more for each twelve seconds that it took.
        Took = erlang:monotonic_time(second) - Started,
        ?assert(length(Single) >= 5 andalso length(Single) =< 6 + Took div 12, Single),
        ?assertMatch([#{reason := refused, cluster := rendez, node := Node} | _] when is_atom(Node), Single)
    end).

dist_table() ->
    Self = self(),
    spawn(fun() -> ets:new(dist_table, [named_table, public]), Self ! ready, receive after infinity -> ok end end),
    receive ready -> ok end.

init(#{greeting := hello}) -> {ok, state}.
members(state) -> [Node || {Node} <- ets:tab2list(dist_table)].
connect(Node, state) ->
    case atom_to_list(Node) of
        "refused" ++ _ -> {error, {refused, <<"as told">>}};
        _ -> timer:sleep(100), true = ets:insert(dist_table, {Node}), ok
    end.
disconnect(Node, state) -> timer:sleep(100), true = ets:delete(dist_table, Node), ok.

-define(JOIN(Node, Port), {join, #{name := Node, listen_addrs := [#{ip := {127, 0, 0, 1}, port := Port}]}}).

%% Three clusters in one BEAM: two over peer services of their own, one over OTP's distribution.
clusters_over_different_distributions(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        [ok, ok] = [rendez_peers:call(A, rendez_partisan_stand_in, start, [Service]) || Service <- [east_net, west_net]],
        Calls = fun(Service) -> rendez_peers:call(A, rendez_partisan_stand_in, calls, [Service]) end,
        Peers = fun(Cluster) -> lists:sort(rendez_peers:call(A, rendez, peers, [Cluster])) end,
        Options = fun(Name, Service, Via) ->
            [{name, Name}, {dist, {rendez_dist_stand_in, #{service => Service}}}, {refresh_interval_ms, 100},
             {on_removed, {disconnect, 200}}, {backoff_max, "200ms"}, {stable_after, 0} | Via]
        end,
        Say = fun(Nodes) -> ok = rendez_peers:call(A, rendez_test_provider, say, [Nodes]) end,
        ok = rendez_peers:call(A, rendez_partisan_stand_in, refuse, [west_net, 'no@127.0.0.1']),
        Say(['e1@127.0.0.1', 'e2@127.0.0.1']),
        start_cluster(A, Options(east, east_net, [{via, rendez_test_provider}, {interval, "50ms"}])),
        start_cluster(A, Options(west, west_net, ?LIST(['w@127.0.0.1', 'no@127.0.0.1']))),
        start_cluster(A, [{name, otp} | ?LIST(['b@127.0.0.1'])]),
        rendez_peers:until(fun() -> Peers(east) =:= ['e1@127.0.0.1', 'e2@127.0.0.1'] end),
        rendez_peers:until(fun() -> Peers(west) =:= ['w@127.0.0.1'] end),
        rendez_peers:until(fun() -> Peers(otp) =:= ['b@127.0.0.1'] end),
        ?assertEqual(['b@127.0.0.1'], rendez_peers:call(A, erlang, nodes, [])),
        ?assertMatch([?JOIN('e1@127.0.0.1', 10200), ?JOIN('e2@127.0.0.1', 10200)], lists:sort(Calls(east_net))),
        %% What is refused is tried again, by the one that it concerns.
        rendez_peers:until(fun() -> length([x || ?JOIN('no@127.0.0.1', _) <- Calls(west_net)]) > 2 end),
        %% A member that is lost is seen by comparing, and joined again.
        ok = rendez_peers:call(A, rendez_partisan_stand_in, lose, [east_net, 'e1@127.0.0.1']),
        rendez_peers:until(fun() -> length([x || ?JOIN('e1@127.0.0.1', _) <- Calls(east_net)]) =:= 2 end),
        ?assertEqual([], [Call || {leave, _} = Call <- Calls(east_net)]),
        %% And one that is removed leaves through the same distribution, by its name and once.
        Say(['e1@127.0.0.1']),
        rendez_peers:until(fun() -> [Call || {leave, _} = Call <- Calls(east_net)] =:= [{leave, 'e2@127.0.0.1'}] end),
        rendez_peers:until(fun() -> Peers(east) =:= ['e1@127.0.0.1'] end),
        ?assertEqual([], [Call || {leave, _} = Call <- Calls(west_net)]),
        Status = fun(Name) -> rendez_peers:call(A, rendez, status, [Name]) end,
        ?assertMatch(#{dist := rendez_dist_stand_in, connected := ['w@127.0.0.1']}, Status(west)),
        ?assertMatch(#{dist := rendez_dist_otp, connected := ['b@127.0.0.1']}, Status(otp))
    end).

a_removed_node_is_kept_or_disconnected_after_its_grace(Config) ->
    with(Config, [a, b, c], fun(A, _B, _C) ->
        Say = fun(Nodes) -> ok = rendez_peers:call(A, rendez_test_provider, say, [Nodes]) end,
        Nodes = fun() -> lists:sort(rendez_peers:call(A, erlang, nodes, [])) end,
        Start = fun(OnRemoved) ->
            Say(['b@127.0.0.1', 'c@127.0.0.1']),
            start_cluster(A, [{via, rendez_test_provider}, {interval, "50ms"}, {on_removed, OnRemoved}]),
            rendez_peers:until(fun() -> length(rendez_peers:call(A, rendez, peers, [rendez])) =:= 2 end),
            Say(['c@127.0.0.1']),
            event(A, withdrawn, <<"b@127.0.0.1">>)
        end,
        Start(keep),
        timer:sleep(700),
        ?assertEqual(['b@127.0.0.1', 'c@127.0.0.1'], Nodes()),
        ?assertEqual(['c@127.0.0.1'], rendez_peers:call(A, rendez, peers, [rendez])),
        ok = rendez_peers:call(A, rendez, stop_cluster, [rendez]),
        %% At work until the grace ends. It goes no sooner, however busy the machine.
        Began = erlang:monotonic_time(millisecond),
        Start({disconnect, 1500}),
        event(A, left, 'b@127.0.0.1'),
        ?assert(erlang:monotonic_time(millisecond) - Began >= 1500),
        ?assertEqual(['c@127.0.0.1'], Nodes())
    end).

%%% Who stays and who leaves. These nodes connect all to all, as nodes do unless they are told not to.

-define(MESH, ['a@127.0.0.1', 'b@127.0.0.1', 'c@127.0.0.1', 'd@127.0.0.1', 'e@127.0.0.1']).
-define(STAY, tl(?MESH)).

%% Runs `Fun' with the node that goes and those that stay, which all name each other and are connected.
with_mesh(Config, Fun) ->
    Epmd = ?config(epmd, Config),
    Peers = [Leaver | Stayers] =
        [rendez_peers:start(Epmd, Name, #{args => ["-kernel", "connect_all", "true", "+S", "1"]}) || Name <- [a, b, c, d, e]],
    try
        lists:foreach(fun(Peer) ->
            say(Peer, ?MESH),
            start_cluster(Peer, [{via, rendez_test_provider}, {interval, "50ms"}, {on_removed, {disconnect, 0}}])
        end, Peers),
        lists:foreach(fun(Peer) -> until_connected(Peer, 4) end, Peers),
        %% `global' reacts only to nodes that it has exchanged names with.
        lists:foreach(fun(Peer) -> ok = rendez_peers:call(Peer, global, sync, []) end, Peers),
        lists:foreach(fun(Peer) -> ok = rpc(Peer, watch_downs, []) end, Peers),
        Fun(Leaver, Stayers)
    after
        lists:foreach(fun rendez_peers:stop/1, Peers)
    end.

say(Peer, Nodes) -> ok = rendez_peers:call(Peer, rendez_test_provider, say, [Nodes]).

until_connected(Peer, Count) ->
    rendez_peers:until(fun() -> length(rendez_peers:call(Peer, erlang, nodes, [])) =:= Count end).

%% On the peer: keeps which nodes go down.
watch_downs() ->
    Self = self(),
    spawn(fun() ->
        true = register(downs, self()),
        ok = net_kernel:monitor_nodes(true),
        Self ! watching,
        keep_downs([])
    end),
    receive watching -> ok end.

keep_downs(Downs) ->
    receive
        {nodedown, Node} -> keep_downs([Node | Downs]);
        {downs, From} -> From ! {downs, Downs}, keep_downs(Downs);
        _ -> keep_downs(Downs)
    end.

downs() ->
    downs ! {downs, self()},
    receive {downs, Downs} -> Downs after 5000 -> error(no_watch) end.

%% The node that left was lost once, and no other node was lost.
unharmed(Stayers) ->
    lists:foreach(fun(Peer) -> ?assertEqual(['a@127.0.0.1'], rpc(Peer, downs, [])) end, Stayers).

%% No other node was lost. `global' may have cut off the node that came back while it still told of its going.
unharmed_by_its_return(Stayers) ->
    lists:foreach(fun(Peer) -> ?assertEqual(['a@127.0.0.1'], lists:usort(rpc(Peer, downs, []))) end, Stayers).

node_status(Peer, Name) ->
    #{nodes := Nodes} = rendez_peers:call(Peer, rendez, status, [rendez]),
    case [Node || #{node := Its} = Node <- Nodes, Its =:= Name] of
        [Status] -> Status;
        [] -> undefined
    end.

%% It tried each once, was told that it has left, and does not try again.
until_idle(Peer, Names) ->
    rendez_peers:until(fun() ->
        lists:all(fun(Name) ->
            case node_status(Peer, Name) of
                #{state := idle, reason := left} -> true;
                _ -> false
            end
        end, Names)
    end).

a_removed_node_leaves_and_no_one_who_stays_loses_a_connection(Config) ->
    with_mesh(Config, fun(A, Stayers) ->
        %% The sources see the change one after the other; that of the node that goes does not see it at all.
        [Last | Sooner] = Stayers,
        lists:foreach(fun(Peer) -> say(Peer, ?STAY), event(Peer, withdrawn, <<"a@127.0.0.1">>) end, Sooner),
        ?assertEqual([], lists:append([rpc(Peer, downs, []) || Peer <- [A | Stayers]])),
        say(Last, ?STAY),
        until_connected(A, 0),
        until_idle(A, [atom_to_binary(Name) || Name <- ?STAY]),
        lists:foreach(fun(Peer) -> until_connected(Peer, 3) end, Stayers),
        unharmed(Stayers),
        ?assertMatch(#{left := true}, rendez_peers:call(A, rendez, status, [rendez])),
        rendez_peers:until(fun() ->
            lists:all(fun(Peer) ->
                #{removed := Removed} = rendez_peers:call(Peer, rendez, status, [rendez]),
                Removed =:= [<<"a@127.0.0.1">>]
            end, Stayers)
        end),
        %% Named anew it is back, with all.
        lists:foreach(fun(Peer) -> say(Peer, ?MESH) end, Stayers),
        lists:foreach(fun(Peer) -> until_connected(Peer, 4) end, [A | Stayers]),
        ?assertMatch(#{left := false}, rendez_peers:call(A, rendez, status, [rendez])),
        unharmed_by_its_return(Stayers)
    end).

a_node_that_leaves_is_not_connected_again_and_harms_no_one(Config) ->
    with_mesh(Config, fun(A, Stayers) ->
        ok = rendez_peers:call(A, rendez, leave, []),
        until_connected(A, 0),
        ?assertMatch(#{left := true}, rendez_peers:call(A, rendez, status, [rendez])),
        lists:foreach(fun(Peer) -> until_idle(Peer, [<<"a@127.0.0.1">>]), until_connected(Peer, 3) end, Stayers),
        ?assertEqual([], rendez_peers:call(A, erlang, nodes, [])),
        unharmed(Stayers),
        ok = rendez_peers:call(A, rendez, refresh, [rendez]),
        lists:foreach(fun(Peer) -> until_connected(Peer, 4) end, [A | Stayers]),
        ?assertMatch(#{left := false}, rendez_peers:call(A, rendez, status, [rendez])),
        unharmed_by_its_return(Stayers)
    end).

a_removed_node_that_hangs_is_left_alone(Config) ->
    with_mesh(Config, fun(A, [B | _] = Stayers) ->
        Pid = rendez_peers:call(A, os, getpid, []),
        _ = os:cmd("kill -STOP " ++ Pid),
        try
            lists:foreach(fun(Peer) -> say(Peer, ?STAY) end, Stayers),
            %% It was asked, and did not answer.
            rendez_peers:until(fun() -> rpc(B, removal_failed, []) end),
            ?assertEqual([], lists:append([rpc(Peer, downs, []) || Peer <- Stayers]))
        after
            os:cmd("kill -CONT " ++ Pid)
        end,
        until_connected(A, 0),
        lists:foreach(fun(Peer) -> until_connected(Peer, 3) end, Stayers),
        unharmed(Stayers)
    end).

%% The provider of one node answers with an empty list for a time. The providers of all other nodes name all nodes.
a_source_that_names_no_one_for_a_time_takes_no_cluster_apart(Config) ->
    with_mesh(Config, fun(A, Stayers) ->
        say(A, []),
        rendez_peers:until(fun() -> rpc(A, all_wanted, []) end),
        say(A, ?MESH),
        rendez_peers:until(fun() ->
            map_get(removing, rendez_peers:call(A, rendez, status, [rendez])) =:= #{}
        end),
        until_connected(A, 4),
        ?assertEqual([], lists:append([rpc(Peer, downs, []) || Peer <- [A | Stayers]]))
    end).

%% On the peer: whether all others were asked to leave, and others want each of them.
all_wanted() ->
    #{removing := Removing} = rendez:status(rendez),
    length([wanted || {_, Why} <- maps:to_list(Removing), string:find(Why, "did not remove it") =/= nomatch]) =:= length(?STAY).

%% On the peer: whether the node that goes could not be asked.
removal_failed() ->
    #{removing := Removing} = rendez:status(rendez),
    [found || {<<"a@127.0.0.1">>, Why} <- maps:to_list(Removing), string:find(Why, "does not answer") =/= nomatch] =/= [].

a_node_that_said_goodbye_stays_away_when_the_cluster_begins_anew(Config) ->
    with(Config, [a, b], fun(A, B) ->
        Options = ?LIST(['a@127.0.0.1', 'b@127.0.0.1']),
        start_cluster(A, Options),
        start_cluster(B, Options),
        event(A, joined, 'b@127.0.0.1'),
        ok = rendez_peers:call(B, rendez, leave, []),
        until_idle(A, [<<"b@127.0.0.1">>]),
        ok = rendez_peers:call(A, rendez, stop_cluster, [rendez]),
        start_cluster(A, Options),
        until_idle(A, [<<"b@127.0.0.1">>]),
        ?assertEqual([], rendez_peers:call(A, erlang, nodes, [])),
        %% And the other one as well.
        ok = rendez_peers:call(B, application, stop, [rendez]),
        start_cluster(B, Options),
        until_idle(B, [<<"a@127.0.0.1">>]),
        ok = rendez_peers:call(A, rendez, refresh, [rendez]),
        event(A, joined, 'b@127.0.0.1'),
        event(B, joined, 'a@127.0.0.1'),
        ?assertMatch(#{left := false}, rendez_peers:call(B, rendez, status, [rendez]))
    end).

without_reconnection_a_lost_node_stays_lost(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        start_cluster(A, [{refresh_interval_ms, infinity}, {stable_after, 0}, {reconnect_jitter, 0}
                          | ?LIST(['b@127.0.0.1'])]),
        event(A, joined, 'b@127.0.0.1'),
        true = rendez_peers:call(A, erlang, disconnect_node, ['b@127.0.0.1']),
        event(A, left, 'b@127.0.0.1'),
        timer:sleep(1500),
        ?assertEqual([], rendez_peers:call(A, erlang, nodes, [])),
        ?assertMatch(#{nodes := [#{state := idle}]}, rendez_peers:call(A, rendez, status, [rendez])),
        ok = rendez_peers:call(A, rendez, refresh, [rendez]),
        rendez_peers:until(fun() -> rendez_peers:call(A, erlang, nodes, []) =:= ['b@127.0.0.1'] end)
    end).

%% By multicast, so that the new name is found by no other way than its announcement.
-define(MULTICAST(Port), [{via, {multicast, [{interface, "127.0.0.1"}, {port, Port}, {interval, 60}]}}]).

a_node_that_goes_on_under_another_name(Config) ->
    Port = rendez_peers:free_port(udp),
    with(Config, [b], fun(B) ->
        %% Dead at first, since net_kernel:stop/0 takes only what net_kernel:start/2 started.
        A = rendez_peers:start_dead(?config(epmd, Config)),
        Name = fun(Node) ->
            {ok, _} = rendez_peers:call(A, net_kernel, start, [Node, #{name_domain => longnames}]),
            ok
        end,
        try
            Name('a@127.0.0.1'),
            ok = rpc(A, keep_log, []),
            start_cluster(A, ?MULTICAST(Port)),
            start_cluster(B, ?MULTICAST(Port)),
            event(B, joined, 'a@127.0.0.1'),
            %% As text: a pid that comes from there is another one under another name.
            Pid = rpc(A, cluster_pid, []),
            ok = rendez_peers:call(A, net_kernel, stop, []),
            event(B, left, 'a@127.0.0.1'),
            %% The goodbye, and not the end of the announcement, which lasts for minutes.
            event(B, withdrawn, <<"a@127.0.0.1">>),
            Name('anew@127.0.0.1'),
            event(B, joined, 'anew@127.0.0.1'),
            event(A, left, 'b@127.0.0.1'),
            rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [rendez]) =:= ['b@127.0.0.1'] end),
            ?assertMatch(#{node := 'anew@127.0.0.1', alive := true}, rendez_peers:call(A, rendez, status, [rendez])),
            ?assertEqual(Pid, rpc(A, cluster_pid, [])),
            ?assertEqual(['anew@127.0.0.1'], rendez_peers:call(B, rendez, peers, [rendez])),
            %% It is told of each node once: the notices did not double.
            Joined = fun(Peer, Node) -> length([x || {joined, N, _} <- rpc(Peer, events, []), N =:= Node]) end,
            ?assertEqual({2, 1}, {Joined(A, 'b@127.0.0.1'), Joined(B, 'anew@127.0.0.1')}),
            ?assertMatch([_ | _], [Line || Line <- rpc(A, log_lines, []), string:find(Line, "the cluster as a@") =/= nomatch])
        after
            rendez_peers:stop(A)
        end
    end).

%% So short that it is alive again before anyone looked.
a_node_that_is_not_alive_for_a_while(Config) ->
    Port = rendez_peers:free_port(udp),
    with(Config, [b], fun(B) ->
        A = rendez_peers:start_dead(?config(epmd, Config)),
        try
            {ok, _} = rendez_peers:call(A, net_kernel, start, ['a@127.0.0.1', #{name_domain => longnames}]),
            start_cluster(A, ?MULTICAST(Port)),
            start_cluster(B, ?MULTICAST(Port)),
            event(B, joined, 'a@127.0.0.1'),
            {ok, _} = rpc(A, rename, ['anew@127.0.0.1']),
            event(B, joined, 'anew@127.0.0.1'),
            event(B, withdrawn, <<"a@127.0.0.1">>),
            rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [rendez]) =:= ['b@127.0.0.1'] end),
            %% The same name again is the same node again.
            {ok, _} = rpc(A, rename, ['anew@127.0.0.1']),
            rendez_peers:until(fun() -> rendez_peers:call(B, rendez, peers, [rendez]) =:= ['anew@127.0.0.1'] end),
            rendez_peers:until(fun() -> rendez_peers:call(A, rendez, peers, [rendez]) =:= ['b@127.0.0.1'] end)
        after
            rendez_peers:stop(A)
        end
    end).

cluster_pid() -> pid_to_list(whereis(rendez)).

rename(Node) ->
    ok = sys:suspend(rendez),
    ok = net_kernel:stop(),
    Named = name(Node, 100),
    ok = sys:resume(rendez),
    Named.

%% EPMD may still know a node that has just ended by the name.
name(Node, Left) ->
    case net_kernel:start(Node, #{name_domain => longnames}) of
        {error, _} when Left > 0 -> timer:sleep(50), name(Node, Left - 1);
        Other -> Other
    end.

no_atom_for_a_name_that_is_not_connected_to(Config) ->
    with(Config, [a], fun(A) ->
        Names = [iolist_to_binary(["stranger", integer_to_list(N), "@10.255.255.1"]) || N <- lists:seq(1, 1000)],
        start_cluster(A, [{via, rendez_test_provider}, {accept, ["*@127.0.0.1"]}]),
        ok = rendez_peers:call(A, rendez_test_provider, say, [[<<"known@127.0.0.1">> | Names]]),
        ok = rendez_peers:call(A, rendez, refresh, [rendez]),
        ?assertMatch(#{provider := <<"rendez_test_provider">>}, event(A, discovered, <<"known@127.0.0.1">>)),
        ?assertMatch(#{reason := not_accepted}, event(A, refused, <<"stranger1@10.255.255.1">>)),
        rendez_peers:until(fun() ->
            #{counters := #{refused := Refused}} = rendez_peers:call(A, rendez, status, [rendez]),
            Refused >= 1000
        end),
        ?assertError(badarg, rendez_peers:call(A, erlang, binary_to_existing_atom, [<<"stranger7@10.255.255.1">>]))
    end).

%% The log stays short, and the names that nobody answers to hold up no one.
forty_nodes_down_at_once(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        ok = rpc(A, keep_log, []),
        Absent = [iolist_to_binary(["absent", integer_to_list(N), "@127.0.0.1"]) || N <- lists:seq(1, 200)],
        start_cluster(A, ?LIST(Absent ++ ["b@127.0.0.1"])),
        event(A, joined, 'b@127.0.0.1'),
        rendez_peers:until(fun() ->
            #{counters := #{failed := Failed}} = rendez_peers:call(A, rendez, status, [rendez]),
            Failed > 300
        end),
        Warnings = [Line || Line <- rpc(A, log_lines, []), string:find(Line, "warning: rendez") =/= nomatch],
        %% Five, and a sum; one more for each twelve seconds, and a sum for each fifteen.
        ?assert(length(Warnings) >= 5),
        ?assert(length(Warnings) =< 20)
    end).

%% The module purged and loaded under running clusters: they begin again with the library that is there.
reloading_the_library_while_clusters_run(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        Pid = start_cluster(A, ?LIST(['b@127.0.0.1'])),
        event(A, joined, 'b@127.0.0.1'),
        ok = rpc(A, reload, [5]),
        ok = rendez_peers:call(A, rendez, refresh, [rendez]),
        rendez_peers:until(fun() ->
            rendez_peers:call(A, rendez, peers, [rendez]) =:= ['b@127.0.0.1']
        end),
        ?assertEqual(Pid, rendez_peers:call(A, erlang, whereis, [rendez])),
        rendez_peers:call(A, erlang, garbage_collect, [Pid]),
        ?assertEqual(<<"0.1.0">>, rendez_peers:call(A, rendez_nif, version, []))
    end).

reload(0) -> ok;
reload(Times) ->
    code:purge(rendez_nif),
    true = code:delete(rendez_nif),
    code:purge(rendez_nif),
    {module, rendez_nif} = code:load_file(rendez_nif),
    reload(Times - 1).

%% As often as the cluster compares what it knows with what the distribution says, and then once more.
compare(Peer, Times) ->
    lists:foreach(fun(_) -> rendez_peers:call(Peer, erlang, send, [rendez, members]) end, lists:seq(1, Times)),
    rendez_peers:call(Peer, rendez, status, [rendez]).

joined_and_left(Peer) ->
    [{Kind, Node} || {Kind, Node, _} <- rpc(Peer, events, []), Kind =:= joined orelse Kind =:= left].

a_hidden_peer_is_joined_once_and_stays(Config) ->
    H = rendez_peers:start(?config(epmd, Config), h, #{args => ["-hidden"]}),
    try
        with(Config, [a], fun(A) ->
            start_cluster(A, ?LIST(['h@127.0.0.1'])),
            event(A, joined, 'h@127.0.0.1'),
            ?assertMatch(#{connected := ['h@127.0.0.1']}, compare(A, 5)),
            ?assertEqual([{joined, 'h@127.0.0.1'}], joined_and_left(A)),
            ?assertEqual(['h@127.0.0.1'], rendez_peers:call(A, rendez, peers, [rendez])),
            rendez_peers:stop(H),
            event(A, left, 'h@127.0.0.1')
        end)
    after
        rendez_peers:stop(H)
    end.

a_hidden_node_sees_its_peers_joined_once(Config) ->
    A = rendez_peers:start(?config(epmd, Config), a, #{args => ["-hidden"]}),
    try
        with(Config, [b], fun(_B) ->
            start_cluster(A, ?LIST(['b@127.0.0.1'])),
            event(A, joined, 'b@127.0.0.1'),
            ?assertMatch(#{connected := ['b@127.0.0.1']}, compare(A, 5)),
            ?assertEqual([{joined, 'b@127.0.0.1'}], joined_and_left(A))
        end)
    after
        rendez_peers:stop(A)
    end.

%% `-name undefined@Host': the name comes with the first connection, and the node is hidden.
a_node_without_a_name_of_its_own_joins_once_and_stays(Config) ->
    D = rendez_peers:start_dynamic(?config(epmd, Config)),
    try
        with(Config, [a, b], fun(A, _B) ->
            start_cluster(A, ?LIST(['b@127.0.0.1'])),
            event(A, joined, 'b@127.0.0.1'),
            start_cluster(D, ?LIST(['a@127.0.0.1', 'b@127.0.0.1'])),
            Both = ['a@127.0.0.1', 'b@127.0.0.1'],
            rendez_peers:until(fun() -> lists:sort(rendez_peers:call(D, rendez, peers, [rendez])) =:= Both end),
            ?assertMatch(#{alive := true}, compare(D, 5)),
            compare(A, 5),
            ?assertEqual(Both, lists:sort(rendez_peers:call(D, rendez, peers, [rendez]))),
            ?assertEqual([], [Node || {left, Node} <- joined_and_left(D)]),
            ?assertEqual([{joined, 'b@127.0.0.1'}], joined_and_left(A)),
            ?assertEqual(1, length(rendez_peers:call(A, erlang, nodes, [hidden])))
        end)
    after
        rendez_peers:stop(D)
    end.

a_remote_shell_is_no_peer(Config) ->
    Shell = rendez_peers:start(?config(epmd, Config), shell, #{args => ["-hidden"]}),
    try
        with(Config, [a, b], fun(A, _B) ->
            start_cluster(A, ?LIST(['b@127.0.0.1'])),
            event(A, joined, 'b@127.0.0.1'),
            true = rendez_peers:call(Shell, net_kernel, connect_node, ['a@127.0.0.1']),
            rendez_peers:until(fun() -> rendez_peers:call(A, erlang, nodes, [hidden]) =:= ['shell@127.0.0.1'] end),
            #{connected := Connected, nodes := Nodes} = compare(A, 2),
            ?assertEqual(['b@127.0.0.1'], Connected),
            ?assertMatch([#{node := <<"b@127.0.0.1">>}], Nodes),
            ?assertEqual(['b@127.0.0.1'], rendez_peers:call(A, rendez, peers, [rendez])),
            rendez_peers:stop(Shell),
            rendez_peers:until(fun() -> rendez_peers:call(A, erlang, nodes, [hidden]) =:= [] end),
            compare(A, 2),
            ?assertEqual([{joined, 'b@127.0.0.1'}], joined_and_left(A))
        end)
    after
        rendez_peers:stop(Shell)
    end.

hidden_connections_where_they_are_asked_for(Config) ->
    with(Config, [a, b], fun(A, B) ->
        start_cluster(A, [{connect, hidden} | ?LIST(['b@127.0.0.1'])]),
        event(A, joined, 'b@127.0.0.1'),
        compare(A, 3),
        ?assertEqual([{joined, 'b@127.0.0.1'}], joined_and_left(A)),
        ?assertEqual({[], ['b@127.0.0.1']}, {rendez_peers:call(A, erlang, nodes, []),
                                             rendez_peers:call(A, erlang, nodes, [hidden])}),
        ?assertEqual([], rendez_peers:call(B, erlang, nodes, [])),
        ?assertMatch({error, {{invalid_options, <<"connect takes", _/binary>>}, _}},
                     rendez_peers:call(A, rendez, start_cluster, [[{name, other}, {connect, sometimes} | ?LIST([])]]))
    end).

%% `a@127.0.0.2' is answered by this node; `b@127.0.0.2' by another one on the same host.
this_node_under_another_address_is_not_connected_to(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        ok = rpc(A, keep_log, []),
        start_cluster(A, ?LIST(['a@127.0.0.2', 'b@127.0.0.2', 'b@127.0.0.1'])),
        Info = event(A, connect_failed, 'a@127.0.0.2'),
        ?assertMatch(#{reason := self, message := <<"a@127.0.0.2 is this node, which is called a@127.0.0.1", _/binary>>},
                     Info),
        ?assertNot(is_map_key(retry_in_ms, Info)),
        event(A, joined, 'b@127.0.0.1'),
        ?assertMatch(#{reason := failed}, event(A, connect_failed, 'b@127.0.0.2')),
        #{nodes := Nodes} = rendez_peers:call(A, rendez, status, [rendez]),
        ?assertMatch([#{state := idle}], [Node || #{node := <<"a@127.0.0.2">>} = Node <- Nodes]),
        ?assertEqual([], [Line || Line <- rpc(A, log_lines, []), string:find(Line, "connection id") =/= nomatch])
    end).

a_name_of_the_other_kind_is_told_once_and_not_retried(Config) ->
    with(Config, [a, b], fun(A, _B) ->
        ok = rpc(A, keep_log, []),
        start_cluster(A, [{backoff_min, "10ms"}, {backoff_max, "20ms"} | ?LIST(['c@short', 'gone@127.0.0.1', 'b@127.0.0.1'])]),
        ?assertMatch(#{reason := name_kind}, event(A, connect_failed, 'c@short')),
        %% Others are retried meanwhile.
        rendez_peers:until(fun() ->
            length([x || {connect_failed, 'gone@127.0.0.1', _} <- rpc(A, events, [])]) > 5
        end),
        ?assertMatch([_], [x || {connect_failed, 'c@short', _} <- rpc(A, events, [])]),
        ?assertEqual([], [Line || Line <- rpc(A, log_lines, []), string:find(Line, "System running") =/= nomatch])
    end).

%% OTP asks such a module instead of the resolver.
a_host_that_only_the_epmd_module_knows(Config) ->
    A = rendez_peers:start(?config(epmd, Config), a, #{args => ["-epmd_module", "rendez_test_epmd"]}),
    B = rendez_peers:start(?config(epmd, Config), b, #{host => "machine-7.internal.invalid"}),
    try
        start_cluster(A, ?LIST(['b@machine-7.internal.invalid', 'c@machine-8.internal.invalid'])),
        event(A, joined, 'b@machine-7.internal.invalid'),
        #{reason := Reason, message := Message} = event(A, connect_failed, 'c@machine-8.internal.invalid'),
        ?assertEqual(name_resolution, Reason),
        ?assertNotEqual(nomatch, string:find(Message, "rendez_test_epmd")),
        ?assertEqual(nomatch, string:find(Message, "DNS"))
    after
        rendez_peers:stop(A),
        rendez_peers:stop(B)
    end.

why_a_peer_left_is_in_the_event(Config) ->
    with(Config, [a, b], fun(A, B) ->
        start_cluster(A, ?LIST(['b@127.0.0.1'])),
        event(A, joined, 'b@127.0.0.1'),
        rendez_peers:stop(B),
        ?assertMatch(#{reason := <<"connection_closed">>}, event(A, left, 'b@127.0.0.1'))
    end).
