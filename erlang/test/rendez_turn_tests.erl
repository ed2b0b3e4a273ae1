%% @doc Turns are taken one after the other, and end with their owners.
-module(rendez_turn_tests).

-include_lib("eunit/include/eunit.hrl").

-define(NAMES, [rendez_turn_test_1, rendez_turn_test_2]).

as_many_at_a_time_as_there_are_names_test_() ->
    {timeout, 60, fun() ->
        Running = counters:new(1, []),
        Self = self(),
        Work = fun() ->
            rendez_turn:run(?NAMES, fun() ->
                counters:add(Running, 1, 1),
                Most = counters:get(Running, 1),
                erlang:yield(),
                counters:sub(Running, 1, 1),
                Self ! {ran, Most}
            end)
        end,
        _ = [spawn_link(Work) || _ <- lists:seq(1, 200)],
        Seen = [receive {ran, Most} -> Most end || _ <- lists:seq(1, 200)],
        ?assert(lists:max(Seen) =< length(?NAMES))
    end}.

an_owner_that_dies_gives_its_turn_back_test_() ->
    {timeout, 60, fun() ->
        Self = self(),
        [Name | _] = ?NAMES,
        {Owner, Monitor} = spawn_monitor(fun() ->
            _ = rendez_turn:take([Name]),
            Self ! taken,
            receive after infinity -> ok end
        end),
        receive taken -> ok end,
        exit(Owner, kill),
        receive {'DOWN', Monitor, process, Owner, killed} -> ok end,
        ?assertEqual(done, rendez_turn:run([Name], fun() -> done end))
    end}.

one_that_crashes_gives_its_turn_back_test_() ->
    {timeout, 60, fun() ->
        ?assertError(crashed, rendez_turn:run(?NAMES, fun() -> error(crashed) end)),
        ?assertEqual(done, rendez_turn:run(?NAMES, fun() -> done end))
    end}.
