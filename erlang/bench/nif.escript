#!/usr/bin/env escript
%%! -kernel logger_level error
%% Measures what the NIF costs a BEAM: how long its calls hold a scheduler, and how much memory it adds.
%%
%%   ERL_LIBS=_build/default/lib escript bench/nif.escript [SECONDS]
%%
%% The calls run against clusters with 1,000 and 100,000 names, from as many processes as there are
%% schedulers, for SECONDS (5 unless given). A floor runs beside them: the same processes doing only
%% arithmetic, since on a busy machine the operating system holds schedulers too.

-mode(compile).

main(Arguments) ->
    Seconds = case Arguments of
        [Text | _] -> list_to_integer(Text);
        [] -> 5
    end,
    case code:ensure_loaded(rendez) of
        {module, _} -> ok;
        {error, _} ->
            io:format(standard_error, "rendez is not in the code path: set ERL_LIBS to the folder that holds it~n", []),
            halt(1)
    end,
    memory(),
    holds(Seconds).

%%% Memory

memory() ->
    case rss() of
        unknown ->
            io:format("memory: skipped, there is no /proc/self/status here~n");
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
            drain()
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
    io:format("longest hold of a scheduler, ~b s each, ~b processes~n", [Seconds, erlang:system_info(schedulers)]),
    Floor = run(floor, fun(N) -> N * N end, Seconds, Self),
    Worst = lists:max([run(Name, Call, Seconds, Self) || {Name, Call} <- Calls]),
    io:format("longest hold by any call: ~s, floor: ~s (goal: none over 1 ms)~n", [show(Worst), show(Floor)]),
    ok = rendez_nif:stop(Small),
    ok = rendez_nif:stop(Large).

sink() -> receive _ -> sink() end.

%% Runs `Call' from every scheduler, and returns the longest that one of the processes held one, in ms.
run(Name, Call, Seconds, Self) ->
    _ = erlang:system_monitor(Self, [{long_schedule, 1}]),
    Until = erlang:monotonic_time(millisecond) + Seconds * 1000,
    Pids = [element(1, spawn_monitor(fun() -> exit({calls, loop(Call, Until, 0)}) end))
            || _ <- lists:seq(1, erlang:system_info(schedulers))],
    Counts = [receive {'DOWN', _, process, Pid, {calls, Count}} -> Count end || Pid <- Pids],
    timer:sleep(50),
    Holds = collect(Pids, []),
    _ = erlang:system_monitor(undefined),
    Longest = lists:max([0 | Holds]),
    io:format("  ~-16s ~10b calls, ~3b holds of 1 ms or more, longest ~s~n",
              [Name, lists:sum(Counts), length(Holds), show(Longest)]),
    Longest.

%% Yields between calls, so that what is measured is one call and not the loop.
loop(Call, Until, Count) ->
    _ = Call(Count),
    erlang:yield(),
    case erlang:monotonic_time(millisecond) < Until of
        true -> loop(Call, Until, Count + 1);
        false -> Count + 1
    end.

collect(Pids, Holds) ->
    receive
        {monitor, Pid, long_schedule, Info} ->
            case lists:member(Pid, Pids) of
                true -> collect(Pids, [proplists:get_value(timeout, Info) | Holds]);
                false -> collect(Pids, Holds)
            end
    after 0 ->
        Holds
    end.

show(0) -> "under 1 ms";
show(Ms) -> [integer_to_list(Ms), " ms"].

name(N) -> <<"node", (integer_to_binary(N))/binary, "@10.0.0.1">>.

names(Count) -> [name(N) || N <- lists:seq(0, Count - 1)].
