%% What the contenders of the benchmark talk to, and the BEAM that is one of them.
-module(rendez_bench).
-export([start/0, client/3, crowd/0]).

-define(SMALL, {m, {user, 42, <<"hello">>, [a, b, 1.5]}}).
-define(MIB, 1048576).

start() ->
    register(bench, spawn(fun serve/0)),
    ok.

%% 1,000 registered processes that answer pings.
crowd() ->
    [register(list_to_atom("echo_" ++ integer_to_list(N)), spawn(fun echo/0)) || N <- lists:seq(0, 999)].

echo() ->
    receive {ping, From, N} -> From ! {pong, N} end,
    echo().

serve() ->
    receive
        {ping, From, N} -> From ! {pong, N};
        {count, From, N} -> count(N), From ! done;
        {flood, From, N} -> flood(From, N, ?SMALL);
        {count_binaries, From, N} -> count_binaries(N), From ! done;
        {flood_binaries, From, N} -> flood(From, N, {b, binary:copy(<<7>>, ?MIB)})
    end,
    serve().

count(0) -> ok;
count(N) -> receive ?SMALL -> count(N - 1) end.

count_binaries(0) -> ok;
count_binaries(N) -> receive {b, B} when byte_size(B) =:= ?MIB -> count_binaries(N - 1) end.

flood(_, 0, _) -> ok;
flood(To, N, Message) -> To ! Message, flood(To, N - 1, Message).

%% Does a work as a client of Peer; gives the seconds it took and the seconds of CPU time that this
%% system used for it.
client(Peer, Work, Count) ->
    Bench = {bench, Peer},
    Bench ! {ping, self(), 0},
    receive {pong, 0} -> ok end,
    {Cpu0, _} = erlang:statistics(runtime),
    Start = erlang:monotonic_time(microsecond),
    work(Work, Bench, Count),
    Took = erlang:monotonic_time(microsecond) - Start,
    {Cpu, _} = erlang:statistics(runtime),
    io:format("~.6f ~.6f~n", [Took / 1.0e6, (Cpu - Cpu0) / 1.0e3]).

work(roundtrips, _, 0) -> ok;
work(roundtrips, Bench, N) ->
    Bench ! {ping, self(), N},
    receive {pong, N} -> ok end,
    work(roundtrips, Bench, N - 1);
work(sends, Bench, N) ->
    Bench ! {count, self(), N},
    flood(Bench, N, ?SMALL),
    receive done -> ok end;
work(receives, Bench, N) ->
    Bench ! {flood, self(), N},
    count(N);
work(binaries_out, Bench, N) ->
    Bench ! {count_binaries, self(), N},
    flood(Bench, N, {b, binary:copy(<<7>>, ?MIB)}),
    receive done -> ok end;
work(binaries_in, Bench, N) ->
    Bench ! {flood_binaries, self(), N},
    count_binaries(N);
work(rpc_one, _, 0) -> ok;
work(rpc_one, {_, Peer} = Bench, N) ->
    700 = erpc:call(Peer, erlang, abs, [700]),
    work(rpc_one, Bench, N - 1);
work(rpc_64, _, N) when N =< 0 -> ok;
work(rpc_64, {_, Peer} = Bench, N) ->
    Requests = [erpc:send_request(Peer, erlang, abs, [700]) || _ <- lists:seq(1, 64)],
    [700 = erpc:receive_response(R) || R <- Requests],
    work(rpc_64, Bench, N - 64).
