#!/usr/bin/env escript
%%! -kernel logger_level error
%% Measures what the NIF costs a BEAM: how long its calls hold a scheduler, and how much memory it adds.
%%
%%   escript bench/nif.escript [SECONDS]      after rebar3 compile
%%
%% The calls run against clusters with 1,000 and 100,000 names for SECONDS each (5 unless given), from one
%% process for every two schedulers. As many processes beside them do nothing but arithmetic: that is the
%% floor, since the operating system stops schedulers too, the more so the busier the machine. A call that
%% holds a scheduler shows in a hold that is longer than the floor's, or in many more of them.

-mode(compile).

main(Arguments) ->
    Seconds = case Arguments of
        [Text | _] -> list_to_integer(Text);
        [] -> 5
    end,
    Built = filename:join(filename:dirname(escript:script_name()), "../_build/default/lib/rendez/ebin"),
    _ = code:add_patha(Built),
    case code:ensure_loaded(rendez) of
        {module, _} -> ok;
        {error, _} ->
            io:format(standard_error, "rendez is not in ~ts: run rebar3 compile in erlang/ first~n", [Built]),
            halt(1)
    end,
    Memory = memory(),
    Holds = holds(Seconds),
    halt(case Memory andalso Holds of
             true -> 0;
             false -> 1
         end).

%%% Memory

memory() ->
    case rss() of
        unknown ->
            io:format("memory: skipped, there is no /proc/self/status here~n"),
            true;
        _ ->
            _ = [rss() || _ <- lists:seq(1, 3)],
            garbage(),
            Before = rss(),
            _ = rendez_nif:version(),
            Loaded = rss(),
            {ok, Handle, _} = rendez_nif:start(self(), options(multicast)),
            {ok, Dns, _} = rendez_nif:start(self(), options(dns)),
            timer:sleep(1000),
            garbage(),
            Running = rss(),
            ok = rendez_nif:stop(Handle),
            ok = rendez_nif:stop(Dns),
            io:format("memory: loading the NIF adds ~b KiB, a multicast and a dns cluster make it ~b KiB "
                      "(~.2f of a bare BEAM's ~b KiB; goal: under 10240 KiB)~n",
                      [Loaded - Before, Running - Before, (Running - Before) / Before, Before]),
            drain(),
            Running - Before < 10_240
    end.

garbage() -> lists:foreach(fun erlang:garbage_collect/1, processes()).

rss() ->
    case file:open("/proc/self/status", [read, raw]) of
        {ok, File} ->
            {ok, Text} = file:read(File, 8192),
            ok = file:close(File),
            {match, [Kib]} = re:run(Text, "VmRSS:\\s+([0-9]+) kB", [{capture, all_but_first, list}]),
            list_to_integer(Kib);
        {error, _} ->
            unknown
    end.

options(multicast) ->
    #{via => {multicast, #{interface => <<"127.0.0.1">>, port => free_port()}}, node => <<"bench@127.0.0.1">>,
      cookie => <<"bench">>};
options(dns) ->
    #{via => {dns, #{dns_name => <<"localhost">>}}, node => <<"bench@127.0.0.1">>};
options(external) ->
    #{via => {external, <<"bench">>}, node => <<"bench@127.0.0.1">>, max_connecting => 0}.

free_port() ->
    {ok, Socket} = gen_udp:open(0, []),
    {ok, Port} = inet:port(Socket),
    ok = gen_udp:close(Socket),
    Port.

drain() ->
    receive _ -> drain() after 0 -> ok end.

%%% Holds

holds(Seconds) ->
    Self = self(),
    Owner = spawn_link(fun sink/0),
    {ok, Small, _} = rendez_nif:start(Owner, options(external)),
    {ok, Large, _} = rendez_nif:start(Owner, options(external)),
    ok = rendez_nif:observe(Small, <<"bench">>, {snapshot, names(1000)}),
    Many = names(100_000),
    ok = rendez_nif:observe(Large, <<"bench">>, {snapshot, Many}),
    Calls = [{report, fun(N) -> rendez_nif:report(Small, {up, name(N rem 1000)}) end},
             {report_failed, fun(N) -> rendez_nif:report(Large, {failed, name(N rem 100_000), refused, <<"no">>}) end},
             {status, fun(_) -> rendez_nif:status(Small, make_ref()) end},
             {refresh, fun(_) -> rendez_nif:refresh(Small) end},
             {providers, fun(_) -> rendez_nif:providers() end},
             {is_provider, fun(_) -> rendez_nif:is_provider(dns) end},
             %% These are long, and run on dirty schedulers.
             {observe, fun(_) -> rendez_nif:observe(Large, <<"bench">>, {snapshot, Many}) end},
             {check, fun(_) -> rendez_nif:check(#{via => {list, #{node_list => Many}}}) end},
             {start_and_drop, fun(_) -> rendez_nif:start(Owner, options(external)), erlang:garbage_collect() end}],
    io:format("longest hold of a scheduler, ~b s each (goal: none over 1 ms)~n", [Seconds]),
    Results = [{Name, run(Name, Call, Seconds, Self)} || {Name, Call} <- Calls],
    {Longest, By} = lists:max([{Hold, Name} || {Name, {Hold, _, _}} <- Results]),
    Floor = lists:max([Hold || {_, {_, Hold, _}} <- Results]),
    io:format("longest hold by any call: ~s~s, floor beside it: ~s~n",
              [show(Longest), [[" (", atom_to_list(By), ")"] || Longest > 0], show(Floor)]),
    ok = rendez_nif:stop(Small),
    ok = rendez_nif:stop(Large),
    %% One hold may be the operating system's; a call that is at fault has many more than the floor.
    case [Name || {Name, {_, _, More}} <- Results, More > 5] of
        [] -> true;
        Guilty -> io:format("missed the goal: ~p~n", [Guilty]), false
    end.

sink() -> receive _ -> sink() end.

%% Runs `Call' beside arithmetic, and returns the longest that the one and the other held a scheduler, in
%% ms, and how many more holds than twice the floor's it has.
run(Name, Call, Seconds, Self) ->
    _ = erlang:system_monitor(Self, [{long_schedule, 1}]),
    Until = erlang:monotonic_time(millisecond) + Seconds * 1000,
    Each = max(1, erlang:system_info(schedulers) div 2),
    Start = fun(Work) ->
        [element(1, spawn_monitor(fun() -> exit({calls, loop(Work, Until, 0)}) end)) || _ <- lists:seq(1, Each)]
    end,
    Callers = Start(Call),
    Floor = Start(fun(N) -> N * N end),
    Count = fun(Pids) ->
        lists:sum([receive {'DOWN', _, process, Pid, {calls, Calls}} -> Calls end || Pid <- Pids])
    end,
    {Calls, _} = {Count(Callers), Count(Floor)},
    timer:sleep(50),
    Holds = collect(),
    _ = erlang:system_monitor(undefined),
    [Theirs, Floors] = [[Ms || {Pid, Ms} <- Holds, lists:member(Pid, Pids)] || Pids <- [Callers, Floor]],
    [Longest, Least] = [lists:max([0 | Few]) || Few <- [Theirs, Floors]],
    io:format("  ~-16s ~9b calls, ~3b holds of 1 ms or more, longest ~-10s  floor: ~3b, longest ~s~n",
              [Name, Calls, length(Theirs), show(Longest), length(Floors), show(Least)]),
    {Longest, Least, length(Theirs) - 2 * length(Floors)}.

%% Yields between calls, so that what is measured is one call and not the loop. Twenty calls a
%% millisecond are far above what a cluster makes, and leave the processors time: at full speed the threads
%% of the library and the schedulers would only be seen to fight for them.
loop(Call, Until, Count) ->
    _ = Call(Count),
    case Count rem 20 of
        0 -> timer:sleep(1);
        _ -> erlang:yield()
    end,
    case erlang:monotonic_time(millisecond) < Until of
        true -> loop(Call, Until, Count + 1);
        false -> Count + 1
    end.

collect() ->
    receive
        {monitor, Pid, long_schedule, Info} -> [{Pid, proplists:get_value(timeout, Info)} | collect()];
        _ -> collect()
    after 0 ->
        []
    end.

show(0) -> "under 1 ms";
show(Ms) -> [integer_to_list(Ms), " ms"].

name(N) -> <<"node", (integer_to_binary(N))/binary, "@10.0.0.1">>.

names(Count) -> [name(N) || N <- lists:seq(0, Count - 1)].
