%% @doc Real nodes for the tests, with an EPMD of their own. All of them end with the process that
%% started them, also when a test fails or the BEAM crashes.
-module(rendez_peers).

-export([epmd/0, stop_epmd/1, start/2, start/3, start_dead/1, stop/1, call/4, until/1, until/2, free_port/1]).

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
    Arguments = case Options of
        #{cookie := Cookie} -> ["-setcookie", Cookie];
        _ -> ["-setcookie", ?COOKIE]
    end,
    boot(#{name => Name, host => "127.0.0.1", longnames => true},
         [{"ERL_EPMD_PORT", integer_to_list(EpmdPort)}], Arguments ++ maps:get(args, Options, [])).

%% A node that is not alive.
start_dead({EpmdPort, _}) ->
    boot(#{}, [{"ERL_EPMD_PORT", integer_to_list(EpmdPort)}], ["-setcookie", ?COOKIE]).

boot(Base, Env, Arguments) ->
    Paths = lists:append([["-pa", filename:absname(Path)] || Path <- code:get_path(), ours(Path)]),
    {ok, Peer, _Node} = peer:start_link(
        Base#{connection => standard_io,
              env => Env,
              wait_boot => 30_000,
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
    peer:call(Peer, Module, Function, Arguments, 30_000).

%% Waits until it holds. The limit only bounds a failing run.
until(Fun) -> until(Fun, 15_000).

until(Fun, Left) ->
    case Fun() of
        true -> ok;
        Other when Left =< 0 -> error({still, Other});
        _ -> timer:sleep(20), until(Fun, Left - 20)
    end.

free_port(tcp) ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port;
free_port(udp) ->
    {ok, Socket} = gen_udp:open(0, []),
    {ok, Port} = inet:port(Socket),
    ok = gen_udp:close(Socket),
    Port.
