%% @doc Each reason why there is no connection, against an EPMD and nodes that are made up here.
-module(rendez_diagnose_tests).
-compile([export_all, nowarn_export_all]).
-compile({parse_transform, rendez_patient}).

-include_lib("eunit/include/eunit.hrl").

-define(NODE, 'peer@127.0.0.1').
-define(COOKIE, 'the-cookie').

-define(HERE, #{own => 'own@127.0.0.1', longnames => true, cookie => ?COOKIE, proto_dist => "inet_tcp",
                epmd_module => erl_epmd, budget_ms => 60_000}).

diagnosed(Circumstances) -> diagnosed(?NODE, Circumstances).

diagnosed(Node, Circumstances) ->
    {Reason, Message} = rendez_diagnose:why(Node, maps:merge(?HERE, Circumstances)),
    ?assert(is_binary(Message)),
    ?assertEqual({nomatch, Message}, {string:find(Message, atom_to_list(?COOKIE)), Message}),
    Reason.

names_test_() ->
    [?_assertEqual(name_kind, diagnosed('peer@short', #{})),
     ?_assertEqual(name_kind, diagnosed('peer@long.example', #{longnames => false, own => 'own@short'})),
     ?_assertEqual(invalid_name, diagnosed('no_host', #{})),
     ?_assertEqual(self, diagnosed('own@127.0.0.1', #{})),
     %% A label of more than 63 characters: no name server is asked for it.
     ?_assertEqual(name_resolution, diagnosed(list_to_atom("peer@" ++ lists:duplicate(64, $x) ++ ".invalid"), #{}))].

no_epmd_test() ->
    with_epmd_port(rendez_peers:free_port(tcp), fun() -> ?assertEqual(no_epmd, diagnosed(#{})) end).

epmd_does_not_know_test() ->
    with_epmd(fun(Socket) -> gen_tcp:send(Socket, <<119, 1>>) end,
              fun() -> ?assertEqual(not_registered, diagnosed(#{})) end).

epmd_says_nothing_test() ->
    with_epmd(fun(_) -> timer:sleep(infinity) end,
              fun() -> ?assertEqual(timeout, diagnosed(#{budget_ms => 300})) end).

epmd_hangs_up_test() ->
    with_epmd(fun(_) -> ok end, fun() -> ?assertEqual(failed, diagnosed(#{})) end).

no_epmd_at_all_test() ->
    with_epmd(fun(Socket) -> gen_tcp:send(Socket, <<"HTTP/1.1 400 Bad Request\r\n">>) end,
              fun() -> ?assertEqual(failed, diagnosed(#{})) end).

the_port_refuses_test() ->
    Port = rendez_peers:free_port(tcp),
    with_epmd(answer(Port), fun() -> ?assertEqual(refused, diagnosed(#{})) end).

%% What the node does with the handshake, and what is made of it.
handshakes_test_() ->
    Reason = fun(Behaviour, Budget) ->
        fun() ->
            {Port, Node} = listen(Behaviour, [{packet, 2}]),
            try with_epmd(answer(Port), fun() -> diagnosed(#{budget_ms => Budget}) end)
            after exit(Node, kill)
            end
        end
    end,
    Status = fun(Text) -> fun(Socket) -> {ok, _} = gen_tcp:recv(Socket, 0), gen_tcp:send(Socket, Text) end end,
    [{What, fun() -> ?assertEqual(Expected, (Reason(Behaviour, Budget))()) end}
     || {What, Expected, Budget, Behaviour} <-
            [{"says nothing", timeout, 300, fun(_) -> timer:sleep(infinity) end},
             {"hangs up", refused, 60_000, fun(_) -> ok end},
             {"does not allow us", refused, 60_000, Status(<<"snot_allowed">>)},
             {"is connecting too", failed, 60_000, Status(<<"snok">>)},
             {"holds the old connection", failed, 60_000, Status(<<"salive">>)},
             {"speaks something else", failed, 60_000, Status(<<"hello">>)},
             {"another node", failed, 60_000, node_with(<<"other@127.0.0.1">>, fun(_, _) -> closed end)},
             {"it is this node behind another address", self, 60_000,
              node_with(<<"own@127.0.0.1">>, fun(_, _) -> closed end)},
             {"the cookies differ", cookie, 60_000, node_with(<<"peer@127.0.0.1">>, fun(_, _) -> closed end)},
             {"it has another cookie for us", cookie, 60_000,
              node_with(<<"peer@127.0.0.1">>, fun(_, _) -> <<$a, 0:128>> end)},
             {"it would work now", failed, 60_000,
              node_with(<<"peer@127.0.0.1">>,
                        fun(Challenge, Theirs) ->
                            <<$r, Ours:32, Digest:16/binary>> = Theirs,
                            %% The proof is the one that a node expects.
                            Digest = digest(Challenge),
                            <<$a, (digest(Ours))/binary>>
                        end)},
             {"goes silent at the proof", timeout, 400,
              node_with(<<"peer@127.0.0.1">>, fun(_, _) -> timer:sleep(infinity) end)}]].

%% Each proof of a wrong cookie is an error in the log of the other node.
%% The kernel of its host takes the connection of a node that is stopped.
a_node_that_sleeps_is_told_from_one_that_is_awake_test_() ->
    Answer = fun(Behaviour, Budget) ->
        {Port, Node} = listen(Behaviour, [{packet, 2}]),
        try with_epmd(answer(Port), fun() ->
            {ok, Reached} = rendez_diagnose:reach(?NODE, ?HERE),
            rendez_diagnose:answers(Reached#{given := maps:put(budget_ms, Budget, ?HERE)})
        end)
        after exit(Node, kill)
        end
    end,
    %% Under a name of its own: on an attempt of this node an attempt of the other one would wait.
    Says = fun(Text) ->
        fun(Socket) ->
            {ok, <<$N, _:64, _:32, 22:16, "rendez-probe@127.0.0.1">>} = gen_tcp:recv(Socket, 0),
            gen_tcp:send(Socket, Text)
        end
    end,
    [{"asleep", ?_assertMatch({error, {timeout, _}}, Answer(fun(_) -> timer:sleep(infinity) end, 300))},
     {"awake", ?_assertEqual(ok, Answer(Says(<<"sok">>), 60_000))},
     {"awake, and allows few", ?_assertEqual(ok, Answer(Says(<<"snot_allowed">>), 60_000))},
     {"awake, and hangs up", ?_assertEqual(ok, Answer(fun(_) -> ok end, 60_000))}].

a_wrong_cookie_is_not_proven_again_at_once_test() ->
    Self = self(),
    Peer = node_with(<<"peer@127.0.0.1">>, fun(_, _) -> Self ! proof, closed end),
    {Port, Node} = listen(Peer, [{packet, 2}]),
    try
        with_epmd(answer(Port), fun() ->
            {ok, Reached} = rendez_diagnose:reach(?NODE, ?HERE),
            {cookie, Message} = rendez_diagnose:why_not(Reached, #{}),
            receive proof -> ok after 5000 -> error(no_proof) end,
            ?assertEqual({cookie, Message}, rendez_diagnose:why_not(Reached, #{last => {cookie, Message}})),
            %% Had it come, it would have come before the connection was closed.
            receive proof -> error(proven_again) after 0 -> ok end
        end)
    after exit(Node, kill)
    end.

%% OTP asks such a module instead of the resolver, and so does this: nothing is blamed on the DNS.
an_epmd_module_that_knows_the_address_is_asked_test_() ->
    Reached = fun(Module, Host) ->
        rendez_diagnose:reach(list_to_atom("peer@" ++ Host), maps:put(epmd_module, Module, ?HERE))
    end,
    [{"address and port", fun() ->
        Closed = rendez_peers:free_port(tcp),
        persistent_term:put({?MODULE, port}, Closed),
        {ok, Where} = Reached(?MODULE, "machine-7.internal.invalid"),
        {Reason, Message} = rendez_diagnose:why_not(Where, #{}),
        ?assertEqual(refused, Reason),
        ?assertNotEqual(nomatch, string:find(Message, integer_to_list(Closed)))
    end},
     {"nothing", fun() ->
        {error, {name_resolution, Message}} = Reached(?MODULE, "unknown.invalid"),
        ?assertNotEqual(nomatch, string:find(Message, "rendez_diagnose_tests")),
        ?assertEqual(nomatch, string:find(Message, "DNS"))
    end}].

address_please("peer", "machine-7.internal.invalid", inet) ->
    {ok, {127, 0, 0, 1}, persistent_term:get({?MODULE, port}), 6};
address_please(_, _, _) ->
    {error, nxdomain}.

%% Other resolvers than the system's are OTP's own.
another_resolver_test() ->
    ?assertEqual(name_resolution, diagnosed('peer@no-such-host.invalid', #{lookup => [file]})).

%% TLS and the like are for their own logs, and are never spoken to in the clear.
another_carrier_test() ->
    {Port, Node} = listen(fun(Socket) -> {error, closed} = gen_tcp:recv(Socket, 0) end, [{packet, 2}]),
    with_epmd(answer(Port), fun() -> ?assertEqual(failed, diagnosed(#{proto_dist => "inet_tls"})) end),
    exit(Node, kill).

%% The time is bounded, however slow each step.
within_its_budget_test_() ->
    {timeout, 60, fun() ->
        Start = erlang:monotonic_time(millisecond),
        with_epmd(fun(_) -> timer:sleep(infinity) end, fun() -> diagnosed(#{budget_ms => 1000}) end),
        ?assert(erlang:monotonic_time(millisecond) - Start < 60_000)
    end}.

digest(Challenge) -> erlang:md5([atom_to_list(?COOKIE), integer_to_list(Challenge)]).

node_with(Name, Answer) ->
    fun(Socket) ->
        {ok, <<$N, _Flags:64, _Creation:32, Size:16, _Own:Size/binary>>} = gen_tcp:recv(Socket, 0),
        ok = gen_tcp:send(Socket, <<"sok">>),
        Challenge = 12345678,
        ok = gen_tcp:send(Socket, <<$N, 0:64, Challenge:32, 1:32, (byte_size(Name)):16, Name/binary>>),
        {ok, Proof} = gen_tcp:recv(Socket, 0),
        case Answer(Challenge, Proof) of
            closed -> ok;
            Packet -> gen_tcp:send(Socket, Packet), timer:sleep(500)
        end
    end.

%% PORT2_RESP of a normal node.
answer(Port) ->
    fun(Socket) -> gen_tcp:send(Socket, <<119, 0, Port:16, 77, 0, 6:16, 5:16, 4:16, "peer", 0:16>>) end.

with_epmd(Behaviour, Fun) ->
    {Port, Pid} = listen(fun(Socket) ->
        {ok, <<_:16, 122, "peer">>} = gen_tcp:recv(Socket, 0),
        Behaviour(Socket)
    end, [{packet, raw}]),
    try with_epmd_port(Port, Fun)
    after exit(Pid, kill)
    end.

with_epmd_port(Port, Fun) ->
    Old = os:getenv("ERL_EPMD_PORT"),
    os:putenv("ERL_EPMD_PORT", integer_to_list(Port)),
    try Fun()
    after
        case Old of
            false -> os:unsetenv("ERL_EPMD_PORT");
            _ -> os:putenv("ERL_EPMD_PORT", Old)
        end
    end.

%% A listener that does the same with each connection, and then closes it.
listen(Behaviour, Options) ->
    Self = self(),
    Pid = spawn(fun() ->
        {ok, Listen} = gen_tcp:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}} | Options]),
        {ok, Port} = inet:port(Listen),
        Self ! {self(), Port},
        (fun Accept() ->
            {ok, Socket} = gen_tcp:accept(Listen),
            Behaviour(Socket),
            gen_tcp:close(Socket),
            Accept()
        end)()
    end),
    receive {Pid, Port} -> {Port, Pid} end.
