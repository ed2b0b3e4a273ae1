%% @doc A hundred thousand datagrams that nobody should believe, at full speed, while a real node joins.
-module(rendez_attack_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(GROUP, {239, 255, 82, 68}).
-define(LOOPBACK, {127, 0, 0, 1}).
-define(EACH, 25_000).

all() -> [forged_truncated_replayed_and_oversized_announcements_cost_nothing].

forged_truncated_replayed_and_oversized_announcements_cost_nothing(_) ->
    process_flag(trap_exit, true),
    Epmd = rendez_peers:epmd(),
    Port = rendez_peers:free_port(udp),
    [A, B] = [rendez_peers:start(Epmd, Name) || Name <- [a, b]],
    try
        Spy = socket(Port),
        [start(Peer, Port) || Peer <- [A, B]],
        rendez_peers:until(fun() -> peers(A) =:= ['b@127.0.0.1'] end),
        %% What B says, as everybody on the network hears it.
        Real = capture(Spy, <<"b@127.0.0.1">>),
        ok = rendez_peers:call(A, ?MODULE, warm_up, [Port]),
        Atoms = rendez_peers:call(A, erlang, system_info, [atom_count]),
        Memory = rss(A),
        Self = self(),
        Attacker = spawn_link(fun() -> Self ! {self(), attack(Port, Real)} end),
        %% The real node starts in the midst of it.
        C = rendez_peers:start(Epmd, c),
        try
            start(C, Port),
            rendez_peers:until(fun() -> lists:sort(peers(A)) =:= ['b@127.0.0.1', 'c@127.0.0.1'] end, 60_000),
            %% It goes on until now, and until all kinds had their number.
            Attacker ! enough,
            Sent = receive {Attacker, Count} -> Count after 600_000 -> error(attack_hangs) end,
            ct:log("~b datagrams were sent", [Sent]),
            ?assert(Sent >= 4 * ?EACH),
            %% One atom for the name of c, and few for what is done the first time.
            New = rendez_peers:call(A, erlang, system_info, [atom_count]) - Atoms,
            ct:log("~b new atoms", [New]),
            ?assert(New < 50),
            Grown = rss(A) - Memory,
            ct:log("~b KiB more", [Grown]),
            ?assert(Grown < 16 * 1024),
            #{counters := Counters, nodes := Nodes} = rendez_peers:call(A, rendez, status, [rendez]),
            ct:log("~p", [Counters]),
            accounted_for(A, Port, Sent),
            ?assertEqual([<<"b@127.0.0.1">>, <<"c@127.0.0.1">>], lists:sort([Node || #{node := Node} <- Nodes])),
            ?assertMatch(#{discovered := 2}, Counters)
        after
            rendez_peers:stop(C)
        end
    after
        lists:foreach(fun rendez_peers:stop/1, [A, B]),
        rendez_peers:stop_epmd(Epmd)
    end.

%% Every datagram of the attack was refused for its cause, or the kernel dropped it because the provider, which
%% shares the machine with the attacker, was behind; and nothing else was refused.
accounted_for(Peer, Port, Sent) ->
    Count = fun(Names, Seen) -> lists:sum([maps:get(Name, Seen) || Name <- Names]) end,
    Refused = fun(Seen) -> Count([forged, truncated, foreign, replayed, duplicate, oversized], Seen) end,
    %% What was heard may be among what the kernel dropped, and came beside the attack. The provider may still be at
    %% work on what it received.
    rendez_peers:until(fun() ->
        {Seen, Dropped} = seen(Peer, Port),
        Refused(Seen) + Dropped + Count([heard, own], Seen) >= Sent orelse {Sent, Dropped, Seen}
    end),
    {Seen, Dropped} = seen(Peer, Port),
    ct:log("of ~b datagrams of the attack the kernel dropped at most ~b; ~p", [Sent, Dropped, Seen]),
    ?assertEqual(0, Count([clock, other_cluster, version, malformed, full, twin], Seen)),
    ?assert(Refused(Seen) =< Sent),
    %% Each kind got through. Not in its number: a full buffer has room for a short datagram before it has for a long
    %% one.
    [?assert(Count(Names, Seen) > 0)
     || Names <- [[forged], [truncated, foreign], [replayed, duplicate], [oversized]]],
    ok.

seen(Peer, Port) ->
    #{providers := [#{kind := <<"multicast">>, counters := Seen}]} =
        rendez_peers:call(Peer, rendez, status, [rendez]),
    {Seen, rendez_peers:call(Peer, ?MODULE, dropped, [Port])}.

%% On the peer: how many datagrams to the port the kernel dropped at this process's sockets (proc(5)).
dropped(Port) ->
    {ok, Fds} = file:list_dir_all("/proc/self/fd"),
    Inodes = [Inode || Fd <- Fds,
                       {ok, "socket:[" ++ Inode} <- [file:read_link_all("/proc/self/fd/" ++ Fd)]],
    {ok, Table} = file:read_file("/proc/net/udp"),
    [_Heading | Lines] = string:lexemes(Table, "\n"),
    lists:sum([binary_to_integer(lists:last(Fields))
               || Line <- Lines,
                  [_, Local | _] = Fields <- [string:lexemes(Line, " ")],
                  [_, Hex] <- [string:lexemes(Local, ":")],
                  binary_to_integer(Hex, 16) =:= Port,
                  lists:member(binary_to_list(lists:nth(10, Fields)) ++ "]", Inodes)]).

start(Peer, Port) ->
    {ok, _} = rendez_peers:call(Peer, application, ensure_all_started, [rendez]),
    {ok, _} = rendez_peers:call(Peer, rendez, start_cluster,
                                [[{via, multicast}, {interface, "127.0.0.1"}, {port, Port}]]),
    ok.

peers(Peer) -> rendez_peers:call(Peer, rendez, peers, [rendez]).

%% On the peer: what the measuring itself needs is there before it counts.
warm_up(Port) ->
    _ = rendez:status(rendez),
    _ = dropped(Port),
    _ = memory(),
    ok.

memory() ->
    lists:foreach(fun erlang:garbage_collect/1, processes()),
    {ok, File} = file:open("/proc/self/status", [read, raw]),
    {ok, Text} = file:read(File, 8192),
    ok = file:close(File),
    {match, [Kib]} = re:run(Text, "VmRSS:\\s+([0-9]+) kB", [{capture, all_but_first, list}]),
    list_to_integer(Kib).

rss(Peer) -> rendez_peers:call(Peer, ?MODULE, memory, []).

socket(Port) ->
    {ok, Socket} = gen_udp:open(Port, [binary, {active, false}, {reuseaddr, true}, {raw, 1, 15, <<1:32/native>>},
                                       {ip, ?GROUP}, {multicast_if, ?LOOPBACK}, {multicast_loop, true},
                                       {add_membership, {?GROUP, ?LOOPBACK}}]),
    Socket.

%% An announcement that carries the name.
capture(Socket, Name) ->
    {ok, {_, _, Datagram}} = gen_udp:recv(Socket, 0, 30_000),
    case binary:match(Datagram, Name) of
        nomatch -> capture(Socket, Name);
        _ -> Datagram
    end.

attack(Port, Real) ->
    {ok, Socket} = gen_udp:open(0, [binary, {multicast_if, ?LOOPBACK}, {multicast_loop, true}, {sndbuf, 1 bsl 20}]),
    Filling = binary:copy(<<"x">>, 8000),
    Rounds = attack(Socket, Port, Real, Filling, 0),
    ok = gen_udp:close(Socket),
    4 * Rounds.

%% Each round sends one datagram of each kind. `N' rounds were made.
attack(Socket, Port, Real, Filling, N) ->
    %% Names of one length, each another: an atom made of one would be seen.
    Name = list_to_binary(io_lib:format("~7..0b@1.2", [N])),
    lists:foreach(fun(Datagram) -> ok = send(Socket, Port, Datagram) end,
                  [binary:replace(Real, <<"b@127.0.0.1">>, Name),
                   binary:part(Real, 0, N rem byte_size(Real)),
                   Real,
                   <<Real/binary, Filling/binary>>]),
    Rounds = N + 1,
    Enough = Rounds >= ?EACH andalso receive enough -> true after 0 -> false end,
    case Enough of
        true -> Rounds;
        false -> attack(Socket, Port, Real, Filling, Rounds)
    end.

send(Socket, Port, Datagram) ->
    case gen_udp:send(Socket, ?GROUP, Port, Datagram) of
        {error, enobufs} -> send(Socket, Port, Datagram);
        Other -> Other
    end.
