%% @doc A poller against the native library, without nodes.
-module(rendez_poller_tests).
-compile([export_all, nowarn_export_all]).
-compile({parse_transform, rendez_patient}).

-include_lib("eunit/include/eunit.hrl").

poller(Module, Options) ->
    {ok, #{providers := [Provider], native := Native}} = rendez_config:cluster([{via, {Module, Options}}]),
    {ok, Handle, Tag} = rendez_nif:start(self(), Native#{node => <<"own@127.0.0.1">>}),
    {ok, Pid} = rendez_poller:start_link(Provider, Handle),
    {Pid, Handle, Tag}.

stop({Pid, Handle, _}) ->
    ok = rendez_poller:stop(Pid),
    ok = rendez_nif:stop(Handle).

event(Tag, Kind) ->
    receive {rendez, Tag, {event, Kind, Info}} -> Info after 60_000 -> error({no, Kind}) end.

say(What) -> rendez_test_provider:say(What).

names_in_every_form_test() ->
    say(['a@h.x', <<"b@h.x">>, "c@h.x"]),
    {_, _, Tag} = Poller = poller(rendez_test_provider, []),
    ?assertEqual([<<"a@h.x">>, <<"b@h.x">>, <<"c@h.x">>],
                 lists:sort([maps:get(node, event(Tag, discovered)) || _ <- [1, 2, 3]])),
    stop(Poller).

the_state_is_kept_and_begins_afresh_after_a_crash_test() ->
    {Pid, _, _} = Poller = poller(rendez_test_stateful, [{reporter, self()}, {interval, "20ms"}, {colour, red}]),
    receive {init, Options} -> ?assertEqual(#{reporter => self(), colour => red}, Options) after 60_000 -> error(no_init) end,
    [receive {peers, N} -> ok after 60_000 -> error({no, N}) end || N <- [0, 1, 2]],
    ?assert(is_process_alive(Pid)),
    stop(Poller).

an_init_that_fails_is_told_test() ->
    {_, _, Tag} = Poller = poller(rendez_test_stateful, [{fails, true}]),
    #{message := Message} = event(Tag, provider_failed),
    ?assertNotEqual({nomatch, Message}, {string:find(Message, "no luck today"), Message}),
    stop(Poller).

%% It asks less and less often while it fails, and a refresh asks at once.
backs_off_test() ->
    say(crash),
    Start = erlang:monotonic_time(millisecond),
    {Pid, _, Tag} = Poller = poller(rendez_test_provider, [{interval, "10ms"}]),
    _ = event(Tag, provider_failed),
    rendez_peers:until(fun() -> #{failures := Failures} = provider(Poller), Failures >= 8 end),
    %% The waits are half as long at least: 5, 10, 20, 40, 80, 160, 320 ms. Without a backoff it would be 70 ms.
    ?assert(erlang:monotonic_time(millisecond) - Start >= 635),
    say([<<"a@h.x">>]),
    rendez_poller:refresh(Pid),
    ?assertMatch(#{node := <<"a@h.x">>}, event(Tag, discovered)),
    stop(Poller).

provider({_, Handle, Tag}) ->
    StatusTag = make_ref(),
    ok = rendez_nif:status(Handle, StatusTag),
    receive {rendez, Tag, {status, StatusTag, #{providers := [Provider]}}} -> Provider after 60_000 -> error(no_status) end.

%% `serves': the module is a process before it is asked, and again after it died.
serves_test() ->
    {Pid, _, Tag} = Poller = poller(rendez_test_stateful, [{reporter, self()}, {serves, true}, {interval, "50ms"}]),
    Served = receive {served, First} -> First after 60_000 -> error(not_served) end,
    Served ! die,
    #{message := Message} = event(Tag, provider_failed),
    ?assertNotEqual({nomatch, Message}, {string:find(Message, "died_on_purpose"), Message}),
    Again = receive {served, Second} -> Second after 60_000 -> error(not_served_again) end,
    _ = event(Tag, provider_recovered),
    ?assert(is_process_alive(Pid)),
    stop(Poller),
    rendez_peers:until(fun() -> not is_process_alive(Again) end).

a_hanging_lookup_ends_with_the_poller_test() ->
    say(hang),
    Poller = poller(rendez_test_provider, []),
    timer:sleep(50),
    stop(Poller).

once_test() ->
    Once = fun(What) ->
        say(What),
        {ok, #{providers := [Provider]}} = rendez_config:cluster([{via, rendez_test_provider}]),
        rendez_poller:once(Provider)
    end,
    ?assertEqual({ok, [<<"a@h.x">>]}, Once(['a@h.x'])),
    ?assertMatch({error, _}, Once(crash)),
    ?assertMatch({error, _}, Once([x | y])),
    ?assertMatch({error, _}, Once([nil])),
    ?assertMatch({error, _}, Once([[16#d800]])).
