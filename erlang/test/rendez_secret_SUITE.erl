%% @doc No secret of a cluster is in any report, log, status or debug print, however the cluster goes wrong.
-module(rendez_secret_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(config(Key, Config), proplists:get_value(Key, Config)).

%% What every secret of these tests holds.
-define(MARK, "S3CR3T").

all() -> [of_a_cluster_that_crashes, of_options_that_are_wrong].

init_per_testcase(_, Config) ->
    process_flag(trap_exit, true),
    Epmd = rendez_peers:epmd(),
    Peer = rendez_peers:start(Epmd, a, #{}),
    ok = rendez_peers:call(Peer, ?MODULE, listen, []),
    [{epmd, Epmd}, {peer, Peer} | Config].

end_per_testcase(_, Config) ->
    rendez_peers:stop(?config(peer, Config)),
    rendez_peers:stop_epmd(?config(epmd, Config)),
    ok.

%% A secret in each form that an option takes.
forms(Name) ->
    Text = ?MARK ++ "-" ++ atom_to_list(Name),
    [Text, list_to_binary(Text), list_to_atom(Text)].

url(Name) -> "https://" ++ ?MARK ++ "-user:" ++ ?MARK ++ "-pw@127.0.0.1:1/" ++ ?MARK ++ "?key=" ++ ?MARK ++ atom_to_list(Name).

%% Every option that is a secret, in a provider that takes it.
native(Multicast, Libcluster) ->
    [{multicast, [{interface, "127.0.0.1"}, {dialects, "native,libcluster"}, {libcluster_group, "233.252.1.99:45001"},
                  {multicast_addr, "239.255.1.99"}, {port, 45002}, {secret, Multicast}, {libcluster_secret, Libcluster}]},
     {command, #{command => ["sh", "-c", "echo cannot $0 $* >&2; exit 1", "--token=" ?MARK "-argument", url(command),
                             "Authorization: Bearer " ?MARK "-header"],
                 interval => "100ms"}}].

careless() ->
    #{password => list_to_binary(?MARK "-password"), api_key => list_to_atom(?MARK "-key"), url => url(module),
      header => ?MARK "-header", nested => [{token, {?MARK "-token", [list_to_binary(?MARK "-deep")]}}],
      interval => "50ms", serves => true}.

of_a_cluster_that_crashes(Config) ->
    Peer = ?config(peer, Config),
    Call = fun(Function, Arguments) -> rendez_peers:call(Peer, ?MODULE, Function, Arguments) end,
    Environment = [{via, native(?MARK "-environment", list_to_binary(?MARK "-libcluster"))
                         ++ [{rendez_test_careless, careless()}]},
                   {dist, {rendez_test_careless, [{cookie, ?MARK "-cookie"}, {other, ?MARK "-other"}]}},
                   {refresh_interval_ms, 100}],
    Clusters = [{list_to_atom("c" ++ integer_to_list(Index)),
                 [{via, native(Form, Form)}]} || {Index, Form} <- lists:enumerate(forms(secret))]
        ++ [{flat, [{via, rendez_test_careless} | maps:to_list(careless())]},
            {map, #{<<"via">> => #{multicast => #{<<"interface">> => <<"127.0.0.1">>,
                                                  <<"secret">> => <<?MARK "-in-a-map">>}}}}],
    ok = Call(start, [[{clusters, Clusters} | Environment]]),
    Ways = [nothing, error, badmatch, function_clause, undef, exit, throw, texts, printed, nonsense, names],
    lists:foreach(fun(Way) ->
        ok = rendez_peers:call(Peer, rendez_test_careless, how, [Way]),
        ok = Call(failed_since, [Way, rendez])
    end, Ways -- [nothing]),
    ok = rendez_peers:call(Peer, rendez_test_careless, how, [nothing]),
    Shown = Call(shown, []),
    ok = Call(kill_all, []),
    ok = rendez_peers:call(Peer, application, stop, [rendez]),
    Logged = Call(logged, []),
    %% The search finds what there is to find.
    ?assertNotEqual(nomatch, string:find(Shown, "rendez_test_careless")),
    ?assertNotEqual(nomatch, string:find(Logged, "rendez_test_careless crashed")),
    ?assertNotEqual(nomatch, string:find(Logged, "killed")),
    ?assertNotEqual(nomatch, string:find(Logged, "rendez_sealed")),
    nowhere(Shown),
    nowhere(Logged).

of_options_that_are_wrong(Config) ->
    Peer = ?config(peer, Config),
    Wrong = [[{via, multicast}, {secrt, Secret}] || Secret <- forms(misspelt)]
        ++ [[{via, multicast}, {secret, Secret}]
            || Secret <- [{?MARK, 1}, [list_to_binary(?MARK), 7], #{?MARK => ?MARK}, [{a, ?MARK}], self]]
        ++ [[{via, {http, ?MARK}}], [{via, {http, [{url, url(http)}, {token, ?MARK}]}}], [{via, url(via)}],
            [{via, {multicast, secret, ?MARK}}], [{via, [{multicast, [{secret, ?MARK, 1}]}]}],
            [{via, multicast}, {secret, ?MARK}, ?MARK], [{via, multicast} | ?MARK],
            [{via, multicast}, {dist, {?MARK, 1}}], [{via, multicast}, {dist, {lists, [{a, ?MARK}]}}],
            [{via, rendez_test_careless}, {password, ?MARK}, {interval, never}],
            [{via, {not_a_provider, [{token, ?MARK}]}}], [{via, command}, {command, "sh '" ?MARK}],
            [{via, ec2}, {endpoint, url(ec2)}, {tags, "a=b"}], [{via, kubernetes}, {api_server, "://" ?MARK "@"}],
            ?MARK, [?MARK], #{1 => ?MARK}, [{clusters, [?MARK]}]],
    lists:foreach(fun(Options) ->
        Answers = rendez_peers:call(Peer, ?MODULE, attempts, [Options]),
        nowhere(io_lib:format("~tp", [Answers]))
    end, Wrong),
    nowhere(rendez_peers:call(Peer, ?MODULE, logged, [])).

nowhere(Text) ->
    Flat = unicode:characters_to_list(Text),
    case string:find(Flat, ?MARK) of
        nomatch -> ok;
        Rest ->
            Before = lists:sublist(Flat, max(1, length(Flat) - length(Rest) - 1500), 1500),
            error({shown, Before, lists:sublist(Rest, 200)})
    end.

%%% On the peer

%% Keeps all that is logged, formatted and as it is.
listen() ->
    Keeper = spawn(fun() -> keep([]) end),
    true = register(kept, Keeper),
    ok = logger:remove_handler(default),
    ok = logger:set_primary_config(level, all),
    logger:add_handler(kept, ?MODULE, #{level => all, filters => [], filter_default => log}).

log(Event, _Config) ->
    Text = logger_formatter:format(Event, #{single_line => false}),
    kept ! {log, [Text, io_lib:format("~tp~n", [Event])]},
    ok.

keep(Lines) ->
    receive
        {log, Line} -> keep([Line | Lines]);
        {get, From} -> From ! {kept, lists:reverse(Lines)}, keep(Lines)
    end.

logged() ->
    kept ! {get, self()},
    receive {kept, Lines} -> unicode:characters_to_binary(Lines) end.

start(Environment) ->
    _ = application:load(rendez),
    [ok = application:set_env(rendez, Key, Value) || {Key, Value} <- Environment],
    {ok, _} = application:ensure_all_started(rendez),
    ok.

attempts(Options) ->
    [catch rendez:start_cluster(Options), catch rendez:resolve(Options), catch rendez_sup:start_link([Options]),
     catch supervisor:start_child(rendez_sup, rendez:child_spec(Options)), catch rendez_config:clusters(Options)].

%% Waits until the provider failed again, in this way.
failed_since(Way, Cluster) ->
    ok = rendez:subscribe(Cluster),
    ok = rendez:refresh(Cluster),
    whereis(rendez) ! {a_message_for_the_distribution, Way},
    receive {rendez, Cluster, {provider_failed, <<"rendez_test_careless">>, _}} -> ok
    after 100 ->
        #{providers := Providers} = rendez:status(Cluster),
        case [Message || #{name := <<"rendez_test_careless">>, message := Message} <- Providers] of
            [_] -> ok;
            [] -> failed_since(Way, Cluster)
        end
    end.

%% What observer, sys and a shell show of every process of the application.
shown() ->
    Pids = ours(),
    [_ | _] = Pids,
    Of = fun(Pid) ->
        Info = process_info(Pid, [dictionary, initial_call, current_stacktrace, messages, registered_name, links]),
        [Info, catch sys:get_state(Pid, 60_000), catch sys:get_status(Pid, 60_000)]
    end,
    Status = [rendez:status(Name) || {{rendez, Name}, _, _, _} <- supervisor:which_children(rendez_sup)],
    Specs = [supervisor:get_childspec(rendez_sup, Id) || {Id, _, _, _} <- supervisor:which_children(rendez_sup)],
    unicode:characters_to_binary(io_lib:format("~tp", [{lists:map(Of, Pids), Status, Specs}])).

%% The supervisor, its clusters, their pollers.
ours() ->
    Clusters = [Pid || {_, Pid, _, _} <- supervisor:which_children(rendez_sup), is_pid(Pid)],
    Pollers = [Linked || Pid <- Clusters, {links, Links} <- [process_info(Pid, links)], Linked <- Links,
                         is_pid(Linked), Linked =/= whereis(rendez_sup), is_poller(Linked)],
    [whereis(rendez_sup) | Clusters ++ Pollers].

is_poller(Pid) ->
    case process_info(Pid, dictionary) of
        {dictionary, Dictionary} -> proplists:get_value('$initial_call', Dictionary) =:= {rendez_poller, init, 1};
        undefined -> false
    end.

%% Kills every process once, the supervisor last, so that each leaves its report.
kill_all() ->
    [_ | Others] = ours(),
    lists:foreach(fun(Pid) ->
        Monitor = monitor(process, Pid),
        exit(Pid, kill),
        receive {'DOWN', Monitor, process, Pid, _} -> ok end
    end, [Pid || Pid <- Others, is_poller(Pid)] ++ [Pid || Pid <- Others, not is_poller(Pid)]),
    Sup = whereis(rendez_sup),
    Monitor = monitor(process, Sup),
    exit(Sup, kill),
    receive {'DOWN', Monitor, process, Sup, _} -> ok end.
