-module(rendez_events_tests).
-compile([export_all, nowarn_export_all]).
-compile({parse_transform, rendez_patient}).

-include_lib("eunit/include/eunit.hrl").

%% A logger handler that sends the lines to a process.
log(#{level := Level, meta := Meta} = Event, #{config := Pid}) ->
    Pid ! {line, Level, unicode:characters_to_binary(logger_formatter:format(Event, #{template => [msg]})), Meta}.

with_log(Fun) ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self(), level => info,
                                                filters => [{mine, {fun mine/2, self()}}]}),
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, info),
    ok = logger:update_handler_config(default, level, none),
    try Fun()
    after
        logger:set_primary_config(level, Level),
        logger:update_handler_config(default, level, all),
        logger:remove_handler(?MODULE)
    end.

mine(#{meta := #{application := rendez}} = Event, _) -> Event;
mine(_, _) -> stop.

lines() -> receive {line, Level, Line, _} -> [{Level, Line} | lines()] after 100 -> [] end.

failed(Reason, Message) ->
    {connect_failed, 'b@h.x', #{reason => Reason, message => Message, attempts => 1, retry_in_ms => 100}}.

publish(Events, State) ->
    lists:foreach(fun(Event) -> ok = rendez_events:publish(Event, [], State) end, Events).

%% The native side decides what is written; here it is written as it comes, with what programs look for.
a_line_of_the_native_side_is_written_with_its_metadata_test() ->
    with_log(fun() ->
        State = rendez_events:new(mine),
        ok = rendez_events:line(warning, #{event => connect_failed, message => <<"cannot connect to nonode@nohost: no">>,
                                           node => <<"nonode@nohost">>, reason => refused, attempts => 3}, State),
        receive
            {line, Level, Line, Meta} ->
                ?assertEqual({warning, <<"rendez mine: cannot connect to nonode@nohost: no">>}, {Level, Line}),
                ?assertMatch(#{application := rendez, cluster := mine, event := connect_failed, node := nonode@nohost,
                               reason := refused, attempts := 3}, Meta),
                %% The default handler of a plain BEAM shows it: it drops what has a domain that is not OTP's.
                ?assertNot(is_map_key(domain, Meta)),
                ?assertNot(is_map_key(message, Meta))
        after 60_000 -> error(no_line)
        end
    end).

no_atom_is_made_of_a_name_in_a_line_test() ->
    Name = iolist_to_binary(["never_an_atom_", integer_to_list(erlang:unique_integer([positive])), "@h.x"]),
    with_log(fun() ->
        ok = rendez_events:line(info, #{event => discovered, message => <<"found">>, node => Name}, rendez_events:new(mine)),
        receive {line, info, _, Meta} -> ?assertMatch(#{node := Name}, Meta) after 60_000 -> error(no_line) end
    end),
    ?assertError(badarg, binary_to_existing_atom(Name)).

the_default_cluster_is_not_named_twice_test() ->
    with_log(fun() ->
        _ = rendez_events:log(notice, node_alive, "alive as ~ts", [a], rendez_events:new(rendez)),
        ?assertEqual([{notice, <<"rendez: alive as a">>}], lines())
    end).

the_same_line_of_its_own_is_said_once_test() ->
    with_log(fun() ->
        Say = fun(Text, State) -> rendez_events:log(warning, members_failed, "crashed: ~ts", [Text], State) end,
        lists:foldl(Say, rendez_events:new(mine), ["a", "a", "a", "b", "a"]),
        ?assertEqual([<<"rendez mine: crashed: a">>, <<"rendez mine: crashed: b">>, <<"rendez mine: crashed: a">>],
                     [Line || {warning, Line} <- lines()])
    end).

subscribers_get_events_test() ->
    ok = rendez_events:publish({left, 'b@h.x', #{}}, [self()], rendez_events:new(mine)),
    receive {rendez, mine, Event} -> ?assertEqual({left, 'b@h.x', #{}}, Event) after 60_000 -> error(no_event) end.

no_atom_is_made_of_a_name_test() ->
    Name = iolist_to_binary(["never_an_atom_", integer_to_list(erlang:unique_integer([positive])), "@h.x"]),
    ?assertEqual({ok, {discovered, Name, #{provider => <<"dns">>}}},
                 rendez_events:from_native(discovered, #{node => Name, provider => <<"dns">>})),
    ?assertEqual(error, rendez_events:from_native(joined, #{node => Name})),
    ?assertError(badarg, binary_to_existing_atom(Name)),
    ?assertEqual(error, rendez_events:from_native(other, #{message => <<"newer">>})).

telemetry_when_it_is_loaded_test() ->
    Forms = [[{attribute, 1, module, telemetry}], [{attribute, 1, export, [{execute, 3}]}],
             erl_parse_form("execute(Name, Measurements, Metadata) -> "
                            "persistent_term:get(rendez_events_tests) ! {telemetry, Name, Measurements, Metadata}, ok.")],
    {ok, telemetry, Code} = compile:forms(lists:append(Forms)),
    persistent_term:put(?MODULE, self()),
    {module, telemetry} = code:load_binary(telemetry, "telemetry.beam", Code),
    try
        publish([{joined, 'b@h.x', #{after_ms => 5}}, failed(refused, <<"no">>),
                 {provider_failed, <<"dns">>, #{message => <<"SERVFAIL">>}}], rendez_events:new(mine)),
        [receive {telemetry, Name, Measurements, Metadata} -> ok after 60_000 -> error({no, Name}) end
         || {Name, Measurements, Metadata} <-
                [{[rendez, node, joined], #{count => 1, after_ms => 5}, #{cluster => mine, node => 'b@h.x'}},
                 {[rendez, node, connect_failed], #{count => 1, attempts => 1, retry_in_ms => 100},
                  #{cluster => mine, node => 'b@h.x', reason => refused, message => <<"no">>}},
                 {[rendez, provider, failed], #{count => 1},
                  #{cluster => mine, provider => <<"dns">>, message => <<"SERVFAIL">>}}]]
    after
        code:purge(telemetry),
        code:delete(telemetry),
        code:purge(telemetry),
        persistent_term:erase(?MODULE)
    end.

erl_parse_form(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Form} = erl_parse:parse_form(Tokens),
    [Form].
