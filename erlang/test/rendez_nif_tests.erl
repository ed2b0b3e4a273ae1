%% @doc The native library by itself. What may take a BEAM down runs in a BEAM of its own.
-module(rendez_nif_tests).
-compile([export_all, nowarn_export_all]).
-compile({parse_transform, rendez_patient}).

-include_lib("eunit/include/eunit.hrl").

-define(HOLD_CALLS, 5).
-define(LIST(Names), #{via => [{list, #{node_list => Names}}], node => <<"a@127.0.0.1">>, cookie => <<"c">>}).

-define(EXTERNAL, #{via => [{external, <<"mod">>}], node => <<"a@127.0.0.1">>}).

message(Tag, Timeout) ->
    receive {rendez, Tag, Message} -> Message after Timeout -> timeout end.

event(Tag, Kind) ->
    receive {rendez, Tag, {event, Kind, Info}} -> Info after 60_000 -> error({no, Kind}) end.

starts_tells_and_stops_test() ->
    {ok, Handle, Tag} = rendez_nif:start(self(), ?LIST(["b@127.0.0.1"])),
    ?assertMatch(#{node := <<"b@127.0.0.1">>, provider := <<"list">>}, event(Tag, discovered)),
    receive {rendez, Tag, {connect, Name}} -> ?assertEqual(<<"b@127.0.0.1">>, Name) after 60_000 -> error(no_connect) end,
    ok = rendez_nif:report(Handle, {connected, <<"b@127.0.0.1">>}),
    ?assertMatch(#{node := <<"b@127.0.0.1">>, after_ms := _}, event(Tag, joined)),
    StatusTag = make_ref(),
    ok = rendez_nif:status(Handle, StatusTag),
    receive
        {rendez, Tag, {status, StatusTag, Status}} ->
            ?assertMatch(#{own := <<"a@127.0.0.1">>,
                           nodes := [#{node := <<"b@127.0.0.1">>, state := connected, named_by := [<<"list">>]}],
                           counters := #{joined := 1}}, Status)
    after 60_000 -> error(no_status)
    end,
    ok = rendez_nif:report(Handle, {down, <<"b@127.0.0.1">>}),
    ?assertMatch(#{node := <<"b@127.0.0.1">>}, event(Tag, left)),
    ok = rendez_nif:stop(Handle),
    ?assertEqual(ok, (fun Wait() -> case message(Tag, 60_000) of stopped -> ok; timeout -> timeout; _ -> Wait() end end)()),
    ?assertEqual({error, <<"the cluster has been stopped">>}, rendez_nif:refresh(Handle)),
    ok = rendez_nif:stop(Handle).

a_failure_comes_back_with_its_reason_test() ->
    {ok, Handle, Tag} = rendez_nif:start(self(), ?LIST(["b@127.0.0.1"])),
    receive {rendez, Tag, {connect, _}} -> ok after 60_000 -> error(no_connect) end,
    ok = rendez_nif:report(Handle, {failed, <<"b@127.0.0.1">>, cookie, <<"they differ">>}),
    ?assertMatch(#{reason := cookie, message := <<"they differ">>, attempts := 1, retry_in_ms := _},
                 event(Tag, connect_failed)),
    rendez_nif:stop(Handle).

a_provider_in_the_beam_speaks_test() ->
    {ok, Handle, Tag} = rendez_nif:start(self(), ?EXTERNAL),
    ok = rendez_nif:observe(Handle, <<"mod">>, {snapshot, [<<"b@h.x">>, <<"c@h.x">>]}),
    ?assertMatch(#{provider := <<"mod">>}, event(Tag, discovered)),
    ok = rendez_nif:observe(Handle, <<"mod">>, {failed, <<"no luck">>}),
    ?assertMatch(#{provider := <<"mod">>, message := <<"no luck">>}, event(Tag, provider_failed)),
    ok = rendez_nif:observe(Handle, <<"mod">>, {seen, <<"d@h.x">>, 1000}),
    ?assertMatch(#{}, event(Tag, provider_recovered)),
    ok = rendez_nif:observe(Handle, <<"mod">>, {gone, <<"d@h.x">>}),
    ?assertMatch(#{node := <<"d@h.x">>}, event(Tag, withdrawn)),
    ?assertMatch({error, <<"the cluster has no external provider", _/binary>>},
                 rendez_nif:observe(Handle, <<"other">>, {snapshot, []})),
    rendez_nif:stop(Handle).

stops_with_its_owner_test() ->
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
        {ok, Handle, _} = rendez_nif:start(self(), ?EXTERNAL),
        Self ! {handle, Handle},
        receive stop -> ok end
    end),
    Handle = receive {handle, Given} -> Given after 60_000 -> error(no_handle) end,
    ?assert(lives(Handle)),
    Owner ! stop,
    receive {'DOWN', Monitor, process, Owner, normal} -> ok end,
    ok = rendez_peers:until(fun() -> not lives(Handle) end).

lives(Handle) ->
    rendez_nif:refresh(Handle) =:= ok.

stops_when_garbage_collected_test() ->
    Self = self(),
    spawn(fun() ->
        {ok, _, Tag} = rendez_nif:start(Self, ?EXTERNAL),
        Self ! {tag, Tag}
    end),
    Tag = receive {tag, Given} -> Given after 60_000 -> error(no_tag) end,
    ?assertEqual(stopped, message(Tag, 60_000)).

a_dead_owner_is_refused_test() ->
    {Pid, Monitor} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end,
    ?assertMatch({error, <<"the owner", _/binary>>}, rendez_nif:start(Pid, ?EXTERNAL)).

options_in_every_form_test_() ->
    [?_assertEqual({Via, ok}, {Via, rendez_nif:check(#{via => Via})})
     || Via <- [self, <<"self">>, "self", [self], {self, []}, {self, #{}}, #{self => #{}}, [{self, []}],
                {list, [{node_list, [<<"a@b">>]}]}, {list, #{<<"node_list">> => ["a@b", 'c@d']}},
                [{list, [{node_list, 'a@b'}]}, {external, <<"m">>}], udp]].

options_are_refused_in_words_test_() ->
    Deep = lists:foldl(fun(_, Inner) -> [Inner] end, [], lists:seq(1, 10_000)),
    [{Part, fun() ->
         {error, Message} = rendez_nif:check(Options),
         ?assertNotEqual({nomatch, Message}, {string:find(Message, Part), Message})
     end}
     || {Options, Part} <- [{not_a_map, "map"},
                            {#{}, "via is missing"},
                            {#{via => dsn}, "did you mean dns?"},
                            {#{via => self, colour => red}, "colour"},
                            {#{via => self, {a, b} => 1}, "map"},
                            {#{via => [self | dns]}, "improper"},
                            {#{via => self(), x => make_ref()}, "pid"},
                            {#{via => fun() -> ok end}, "function"},
                            {#{via => list, node_list => Deep}, "nested"},
                            {#{via => list, node_list => lists:seq(1, 500_000)}, "more than"},
                            {#{via => list, node_list => [<<255, 254>>]}, "node_list"},
                            {#{via => list, node_list => [1 bsl 200]}, "node_list"},
                            {#{via => list, node_list => [<<"a@b">>], max_nodes => -1}, "max_nodes"},
                            {#{via => self, node => <<"no host">>}, "node name"}]].

%% What only shows when a provider is made is refused by the check as by the start.
the_check_refuses_what_the_start_refuses_test_() ->
    [{lists:flatten(io_lib:format("~p", [Options])), fun() ->
         {error, Message} = rendez_nif:check(Options),
         ?assertEqual({error, Message}, rendez_nif:start(self(), Options#{node => <<"a@127.0.0.1">>, cookie => <<"k">>}))
     end}
     || Options <- [#{via => dns, dns_name => <<".internal">>},
                    #{via => multicast, dialects => [libcluster], libcluster_group => <<"255.255.255.255:45892">>},
                    #{via => multicast, dialects => [libcluster], libcluster_broadcast_only => true,
                      libcluster_group => <<"233.252.1.32:45892">>},
                    #{via => multicast, multicast_addr => <<"10.0.0.255">>}]].

%% A node that is not alive yet has no cookie and no name: neither is missed by the check.
the_check_waits_for_no_node_test_() ->
    [?_assertEqual(ok, rendez_nif:check(Options))
     || Options <- [#{via => multicast}, #{via => multicast, dialects => [native, nodefinder]},
                    #{via => dns, dns_name => <<"a.internal">>}]].

%% No term makes it crash or raise anything but `badarg'.
junk_test() ->
    {ok, Handle, _} = rendez_nif:start(self(), ?EXTERNAL),
    Junk = [[], nil, 0, -1, 1.5, 1 bsl 100, <<>>, <<255>>, <<1:3>>, "x", [x | y], {}, {a}, {up, <<>>}, {up, nope},
            {snapshot, [x]}, {snapshot, [<<"a@b">> | x]}, {snapshot, x}, {seen, <<"a@b">>, -1},
            {seen, <<"a@b">>, 1 bsl 80}, {gone, <<"@">>}, {failed, x}, {failed, <<"a@b">>, 1, 2}, #{}, #{a => b},
            self(), make_ref(), fun() -> ok end, Handle, binary:copy(<<"x">>, 1_000_000)],
    Calls = [fun(T) -> rendez_nif:start(T, T) end, fun(T) -> rendez_nif:start(self(), T) end,
             fun rendez_nif:stop/1, fun(T) -> rendez_nif:observe(T, T, T) end,
             fun(T) -> rendez_nif:observe(Handle, <<"mod">>, T) end, fun(T) -> rendez_nif:observe(Handle, T, {snapshot, []}) end,
             fun(T) -> rendez_nif:report(Handle, T) end, fun(T) -> rendez_nif:status(Handle, T) end,
             fun rendez_nif:check/1, fun(T) -> rendez_nif:resolve(self(), T, 1) end,
             fun(T) -> rendez_nif:resolve(self(), #{via => self}, T) end, fun rendez_nif:is_provider/1],
    Skip = fun(Call, Term) -> Call =:= fun rendez_nif:stop/1 andalso Term =:= Handle end,
    lists:foreach(
        fun({Call, Term}) ->
            try Call(Term) of
                ok -> ok;
                {ok, _} -> ok;
                {ok, Other, _} -> rendez_nif:stop(Other);
                {error, Message} -> ?assert(is_binary(Message));
                Flag -> ?assert(is_boolean(Flag))
            catch
                error:badarg -> ok
            end
        end, [{Call, Term} || Call <- Calls, Term <- Junk, not Skip(Call, Term)]),
    ?assert(lives(Handle)),
    rendez_nif:stop(Handle).

resolves_test() ->
    {ok, Tag} = rendez_nif:resolve(self(), ?LIST(["x@127.0.0.1"]), 5000),
    ?assertEqual({resolved, {ok, [<<"x@127.0.0.1">>]}}, message(Tag, 60_000)),
    %% A port at which nothing answers: not an empty answer.
    Port = rendez_peers:free_port(tcp),
    {ok, Other} = rendez_nif:resolve(self(), #{via => {epmd, #{hosts => ["127.0.0.1"], port => Port}}}, 2000),
    ?assertMatch({resolved, {error, <<"epmd: ", _/binary>>}}, message(Other, 60_000)).

names_make_no_atoms_test() ->
    {ok, Handle, Tag} = rendez_nif:start(self(), maps:put(max_connecting, 1, ?EXTERNAL)),
    %% Everything that is made once is made.
    ok = rendez_nif:observe(Handle, <<"mod">>, {snapshot, [<<"first@h.x">>]}),
    _ = event(Tag, discovered),
    StatusTag = make_ref(),
    Nodes = fun() ->
        ok = rendez_nif:status(Handle, StatusTag),
        receive {rendez, Tag, {status, StatusTag, #{providers := [#{nodes := Count}]}}} -> Count end
    end,
    ok = rendez_peers:until(fun() -> Nodes() =:= 1 end),
    Before = erlang:system_info(atom_count),
    Names = [iolist_to_binary(["n", integer_to_list(N), "@h.x"]) || N <- lists:seq(1, 100_000)],
    ok = rendez_nif:observe(Handle, <<"mod">>, {snapshot, Names}),
    %% A test could not tell made atoms from none if the names never got there.
    ok = rendez_peers:until(fun() -> Nodes() >= 1000 end),
    ?assert(erlang:system_info(atom_count) - Before < 5),
    rendez_nif:stop(Handle).

%% What takes long does not run on a scheduler that others wait for.
long_calls_hold_no_scheduler_test_() ->
    {timeout, 300, fun() ->
        Names = [iolist_to_binary(["n", integer_to_list(N), "@h.x"]) || N <- lists:seq(1, 100_000)],
        {ok, Handle, _} = rendez_nif:start(self(), ?EXTERNAL),
        [?assertMatch({What, Held} when length(Held) < ?HOLD_CALLS, {What, holds(Call)})
         || {What, Call} <- [{observe, fun() -> ok = rendez_nif:observe(Handle, <<"mod">>, {snapshot, Names}) end},
                             {check, fun() -> ok = rendez_nif:check(?LIST(Names)) end}]],
        rendez_nif:stop(Handle)
    end}.

%% The times that `Call' held a scheduler for at least half as long as it took. A call that runs on one does so
%% each time; on a busy machine the operating system may take a scheduler away in the middle of one of them.
holds(Call) ->
    _ = Call(),
    {Micros, _} = timer:tc(Call),
    Self = self(),
    _ = erlang:system_monitor(Self, [{long_schedule, max(1, Micros div 2000)}]),
    {Pid, Monitor} = spawn_monitor(fun() -> [Call() || _ <- lists:seq(1, ?HOLD_CALLS)], exit(normal) end),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end,
    timer:sleep(50),
    _ = erlang:system_monitor(undefined),
    (fun Collect() ->
        receive {monitor, Pid, long_schedule, Info} -> [Info | Collect()] after 0 -> [] end
    end)().

%% Threads of the library run while its module goes and comes, with handles that live and handles that do not.
survives_a_hundred_purges_test_() ->
    {timeout, 600, fun() ->
        {ok, Peer, _} = peer:start_link(#{connection => standard_io, wait_boot => 120_000,
                                          args => ["-pa", filename:dirname(code:which(rendez_nif)),
                                                   "-pa", filename:dirname(code:which(?MODULE))]}),
        ?assertEqual(ok, peer:call(Peer, ?MODULE, purge_and_load, [100, []], 600_000)),
        ?assertEqual(<<"0.1.0">>, peer:call(Peer, rendez_nif, version, [])),
        peer:stop(Peer)
    end}.

purge_and_load(0, Kept) ->
    %% Those that still live are collected with no module loaded.
    true = length(Kept) > 10,
    code:delete(rendez_nif),
    code:purge(rendez_nif),
    erlang:garbage_collect(),
    timer:sleep(200),
    ok;
purge_and_load(Times, Kept) ->
    {ok, Handle, Tag} = rendez_nif:start(self(), ?LIST(["b@127.0.0.1"])),
    receive {rendez, Tag, {connect, _}} -> ok after 60_000 -> error(no_connect) end,
    Times rem 3 =:= 0 andalso rendez_nif:stop(Handle),
    {ok, _} = rendez_nif:resolve(self(), #{via => {dns, #{dns_name => "localhost", app_name => "x"}}}, 500),
    %% Over the current code it is refused, and the current code goes on.
    {error, on_load_failure} = code:load_file(rendez_nif),
    <<"0.1.0">> = rendez_nif:version(),
    code:purge(rendez_nif),
    true = code:delete(rendez_nif),
    code:purge(rendez_nif),
    {module, rendez_nif} = code:load_file(rendez_nif),
    %% A handle from before is none any more.
    try rendez_nif:refresh(Handle) of
        ok -> error(old_handle_taken)
    catch
        error:badarg -> ok
    end,
    purge_and_load(Times - 1, case Times rem 2 of 0 -> [Handle | Kept]; 1 -> Kept end).

hosts_are_looked_up_by_the_resolver_of_the_system_test_() ->
    LookUp = fun(Host) ->
        {ok, Tag} = rendez_nif:look_up(self(), Host, 30_000),
        receive {rendez, Tag, {looked_up, Answer}} -> Answer after 60_000 -> error(no_answer) end
    end,
    {timeout, 120, fun() ->
        ?assertEqual({ok, [{10, 0, 0, 7}]}, LookUp(<<"10.0.0.7">>)),
        ?assertEqual({ok, [{0, 0, 0, 0, 0, 0, 0, 1}]}, LookUp(<<"::1">>)),
        {ok, Addresses} = LookUp(<<"localhost">>),
        ?assertNotEqual([], [Ip || Ip <- Addresses, Ip =:= {127, 0, 0, 1} orelse Ip =:= {0, 0, 0, 0, 0, 0, 0, 1}]),
        {error, Message} = LookUp(<<"not a host">>),
        ?assert(is_binary(Message))
    end}.
