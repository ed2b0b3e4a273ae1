%% @doc Real nodes for the tests, with an EPMD of their own. All of them end with the process that
%% started them, also when a test fails or the BEAM crashes.
-module(rendez_peers).

-export([epmd/0, stop_epmd/1, start/2, start/3, start_dead/1, start_dynamic/1, stop/1, call/4, until/1, until/2, free_port/1]).

-define(COOKIE, "a-cookie-of-the-tests").

%% An EPMD on a free port. It ends when its standard input does, which is when this BEAM does.
epmd() ->
    Port = free_port(tcp),
    Epmd = os:find_executable("epmd"),
    Script = "exec 3<&0; \"$0\" -port \"$1\" </dev/null & pid=$!; cat <&3 >/dev/null; kill $pid",
    Handle = open_port({spawn_executable, "/bin/sh"},
                       [{args, ["-c", Script, Epmd, integer_to_list(Port)]}, exit_status]),
    until(fun() ->
        case gen_tcp:connect({127, 0, 0, 1}, Port, []) of
            {ok, Socket} -> gen_tcp:close(Socket) =:= ok;
            {error, _} -> false
        end
    end),
    {Port, Handle}.

stop_epmd({_, Handle}) ->
    try port_close(Handle) of
        true -> ok
    catch
        error:badarg -> ok
    end.

%% A node `Name@127.0.0.1' with our code.
start(Epmd, Name) -> start(Epmd, Name, #{}).

start({EpmdPort, _}, Name, Options) ->
    %% EPMD still has a node of this name that ended a moment ago, until it reads the end of its connection.
    until(fun() -> not is_known(EpmdPort, Name) end),
    Arguments = case Options of
        #{cookie := Cookie} -> ["-setcookie", Cookie];
        _ -> ["-setcookie", ?COOKIE]
    end,
    boot(#{name => Name, host => maps:get(host, Options, "127.0.0.1"), longnames => true},
         [{"ERL_EPMD_PORT", integer_to_list(EpmdPort)}], Arguments ++ maps:get(args, Options, [])).

%% A node that is not alive.
start_dead({EpmdPort, _}) ->
    boot(#{}, [{"ERL_EPMD_PORT", integer_to_list(EpmdPort)}], ["-setcookie", ?COOKIE]).

%% A node that gets its name from the first one that it connects to.
start_dynamic({EpmdPort, _}) ->
    boot(#{}, [{"ERL_EPMD_PORT", integer_to_list(EpmdPort)}],
         ["-setcookie", ?COOKIE, "-name", "undefined@127.0.0.1"]).

boot(Base, Env, Arguments) ->
    Paths = lists:append([["-pa", filename:absname(Path)] || Path <- code:get_path(), ours(Path)]),
    {ok, Peer, _Node} = peer:start_link(
        Base#{connection => standard_io,
              env => Env,
              wait_boot => 120_000,
              args => ["-connect_all", "false", "-kernel", "logger_level", "error" | Paths] ++ Arguments}),
    Peer.

ours(Path) ->
    lists:any(fun(File) -> filelib:is_regular(filename:join(Path, File)) end,
              ["rendez.beam", "rendez_peers.beam"]).

stop(Peer) ->
    %% One that a test ended is gone already.
    try peer:stop(Peer)
    catch
        _:_ -> ok
    end.

call(Peer, Module, Function, Arguments) ->
    peer:call(Peer, Module, Function, Arguments, 120_000).

%% Waits until it holds. The limit only bounds a failing run.
until(Fun) -> until(Fun, 60_000).

until(Fun, Left) ->
    case Fun() of
        true -> ok;
        Other when Left =< 0 -> error({still, Other});
        _ -> timer:sleep(20), until(Fun, Left - 20)
    end.

%% Whether EPMD has a node of this name.
is_known(EpmdPort, Name) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, EpmdPort, [binary, {active, false}]),
    ok = gen_tcp:send(Socket, <<1:16, $n>>),
    Names = received(Socket, <<>>),
    string:find(Names, ["name ", atom_to_list(Name), " at port "]) =/= nomatch.

received(Socket, Before) ->
    case gen_tcp:recv(Socket, 0, 60_000) of
        {ok, Bytes} -> received(Socket, <<Before/binary, Bytes/binary>>);
        {error, closed} -> ok = gen_tcp:close(Socket), binary_to_list(Before)
    end.

%% A port that no other test uses until this BEAM ends, as tests/support/ports.rs has it: below the ports that the
%% kernel chooses, and reserved by listening at the next one.
free_port(_Protocol) ->
    Self = self(),
    Holder = spawn(fun() ->
        Self ! {self(), reserve(list_to_integer(os:getpid()) * 7919)},
        receive after infinity -> ok end
    end),
    receive {Holder, Port} -> Port end.

reserve(Pair) ->
    Port = 20_000 + 2 * (Pair rem 5_000),
    case gen_tcp:listen(Port + 1, [{ip, {127, 0, 0, 1}}]) of
        {ok, _} ->
            case is_unused(Port) of
                true -> Port;
                false -> reserve(Pair + 1)
            end;
        {error, _} -> reserve(Pair + 1)
    end.

is_unused(Port) ->
    case {gen_tcp:listen(Port, []), gen_udp:open(Port, [])} of
        {{ok, Tcp}, {ok, Udp}} -> ok = gen_tcp:close(Tcp), ok = gen_udp:close(Udp), true;
        _ -> false
    end.
