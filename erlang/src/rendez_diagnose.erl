%% @doc Why there is no connection to a node, where `net_kernel:connect_node/1' says `false' and no more.
%%
%% Goes the way that the distribution goes, and tells where it ends: the kinds of names, name
%% resolution, EPMD, the node's port, and the handshake up to the proof that both know the cookie
%% ([https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html]). It takes five seconds at most.
%%
%% The words:
%% <ul>
%% <li>`name_kind': one of the two has a long name (`-name'), the other a short one (`-sname')</li>
%% <li>`name_resolution': the host's name has no address</li>
%% <li>`no_epmd': the host refuses connections to EPMD's port</li>
%% <li>`not_registered': EPMD answers and does not know the name: the node is down</li>
%% <li>`unreachable': no route, or nothing answers at the address: a firewall, or the host is down</li>
%% <li>`refused': EPMD knows the node, its port refuses connections, or the node refuses this one</li>
%% <li>`cookie': the cookies differ</li>
%% <li>`timeout': something accepts the connection and says nothing, or nothing in time</li>
%% <li>`failed': anything else; the message says what</li>
%% </ul>
-module(rendez_diagnose).

-export([why/1, why/2]).

-define(BUDGET_MS, 5000).
%% One step may take this long, so that the later steps get their turn.
-define(STEP_MS, 2000).

%% From the protocol's page: what a node has to support to talk to OTP 25 and newer. Without
%% PUBLISHED, so that the other side takes us for a hidden node and tells no one of us.
-define(FLAGS,
        (16#4               % EXTENDED_REFERENCES
         bor 16#10          % FUN_TAGS
         bor 16#80          % NEW_FUN_TAGS
         bor 16#100         % EXTENDED_PIDS_PORTS
         bor 16#200         % EXPORT_PTR_TAG
         bor 16#400         % BIT_BINARIES
         bor 16#800         % NEW_FLOATS
         bor 16#10000       % UTF8_ATOMS
         bor 16#20000       % MAP_TAG
         bor 16#40000       % BIG_CREATION
         bor 16#1000000     % HANDSHAKE_23
         bor 16#2000000     % UNLINK_ID
         bor (1 bsl 34)     % V4_NC
         bor (1 bsl 36))).  % MANDATORY_25_DIGEST

-type why() :: {rendez_dist:reason(), Message :: binary()}.

%% @doc Why `net_kernel:connect_node(Node)' said `false'.
-spec why(node()) -> why().
why(Node) ->
    why(Node, #{}).

%% @doc As {@link why/1}, with other circumstances than this node's: `longnames' (a boolean),
%% `cookie', `own' (a node), `budget_ms', `proto_dist' and `epmd_module'.
-spec why(node(), map()) -> why().
why(Node, Given) ->
    Circumstances = maps:merge(circumstances(Node), Given),
    Until = erlang:monotonic_time(millisecond) + maps:get(budget_ms, Circumstances),
    try
        diagnose(Node, Circumstances, Until)
    catch
        throw:{?MODULE, Reason, Format, Arguments} ->
            {Reason, unicode:characters_to_binary(io_lib:format(Format, Arguments))}
    end.

circumstances(Node) ->
    #{own => node(),
      longnames => net_kernel:longnames(),
      %% The cookie that this node uses with that one.
      cookie => erlang:get_cookie(Node),
      proto_dist => case init:get_argument(proto_dist) of
                        {ok, [[Proto | _] | _]} -> Proto;
                        _ -> "inet_tcp"
                    end,
      epmd_module => net_kernel:epmd_module(),
      budget_ms => ?BUDGET_MS}.

-spec because(rendez_dist:reason(), string(), [term()]) -> no_return().
because(Reason, Format, Arguments) ->
    throw({?MODULE, Reason, Format, Arguments}).

-spec diagnose(node(), map(), integer()) -> no_return().
diagnose(Node, #{own := Own, proto_dist := Proto} = Circumstances, Until) ->
    {Name, Host} = case string:split(atom_to_list(Node), "@") of
        [N, H] when N =/= "", H =/= "" -> {N, H};
        _ -> because(failed, "~ts is no node name: it has the form name@host", [Node])
    end,
    Node =:= Own andalso because(failed, "~ts is this node itself", [Node]),
    name_kind(Host, Circumstances),
    allowed(Node),
    Family = case Proto of
        "inet6" ++ _ -> inet6;
        _ -> inet
    end,
    Address = address(Host, Family, Until),
    Port = port(Name, Host, Address, Family, Circumstances, Until),
    node_port(Node, Address, Port, Family, Circumstances, Until).

name_kind(Host, #{longnames := Long, own := Own}) ->
    %% net_kernel takes an address without a dot, as ::1, for long too.
    IsLong = lists:member($., Host) orelse lists:member($:, Host),
    case {Long, IsLong} of
        {true, false} ->
            because(name_kind,
                    "this node has a long name (~ts) and cannot connect to a short one: start the other with "
                    "-name and a full host name or an address", [Own]);
        {false, true} ->
            because(name_kind,
                    "this node has a short name (~ts) and cannot connect to a long one: start this node with "
                    "-name and a full host name or an address", [Own]);
        _ ->
            ok
    end.

allowed(Node) ->
    case net_kernel:allowed() of
        {ok, [_ | _] = Allowed} ->
            lists:member(Node, Allowed)
                orelse because(refused, "net_kernel:allow/1 was called on this node and ~ts is not among the "
                                        "nodes that it allows", [Node]);
        _ ->
            true
    end.

address(Host, Family, Until) ->
    case within(Until, fun() -> inet:getaddr(Host, Family) end) of
        {ok, {ok, Address}} -> Address;
        {ok, {error, Reason}} ->
            because(name_resolution, "the host ~ts has no ~ts address (~ts): check its name, the DNS and /etc/hosts",
                    [Host, family(Family), posix(Reason)]);
        timeout ->
            because(name_resolution, "no answer to what the address of the host ~ts is: check that the DNS "
                                     "servers can be reached", [Host])
    end.

family(inet) -> "IPv4";
family(inet6) -> "IPv6".

%% A look-up has no time limit of its own.
within(Until, Fun) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({done, Fun()}) end),
    receive
        {'DOWN', Monitor, process, Pid, {done, Result}} -> {ok, Result};
        {'DOWN', Monitor, process, Pid, Other} -> {ok, {error, Other}}
    after step(Until) ->
        demonitor(Monitor, [flush]),
        exit(Pid, kill),
        timeout
    end.

step(Until) ->
    max(1, min(?STEP_MS, Until - erlang:monotonic_time(millisecond))).

%% The port at which the node listens.
port(Name, Host, Address, Family, #{epmd_module := erl_epmd} = Circumstances, Until) ->
    case init:get_argument(erl_epmd_port) of
        {ok, [[Fixed | _] | _]} -> list_to_integer(Fixed);
        _ -> epmd(Name, Host, Address, Family, Circumstances, Until)
    end;
port(Name, Host, Address, _Family, #{epmd_module := Module}, Until) ->
    %% Someone's own EPMD: only it knows how it finds ports.
    Asked = within(Until, fun() ->
        case erlang:function_exported(Module, address_please, 3) andalso Module:address_please(Name, Host, inet) of
            {ok, _, Port, _} -> {port, Port, 0};
            _ -> Module:port_please(Name, Address)
        end
    end),
    case Asked of
        {ok, {port, Port, _}} -> Port;
        _ -> because(not_registered, "~ts knows no port of ~ts at ~ts", [Module, Name, Host])
    end.

epmd(Name, Host, Address, Family, _, Until) ->
    EpmdPort = epmd_port(),
    Where = [Host, show(Address), EpmdPort],
    Socket = case gen_tcp:connect(Address, EpmdPort, [Family, binary, {packet, raw}, {active, false}], step(Until)) of
        {ok, Connected} -> Connected;
        {error, econnrefused} ->
            because(no_epmd, "no EPMD listens at ~ts (~ts, port ~b): no node runs there, or it uses another "
                             "ERL_EPMD_PORT", Where);
        {error, Reason} ->
            because(unreachable, "EPMD at ~ts (~ts, port ~b) cannot be reached (~ts): check that the host is up, "
                                 "and the firewalls between", Where ++ [posix(Reason)])
    end,
    try
        %% PORT_PLEASE2_REQ and PORT2_RESP.
        Request = [122, unicode:characters_to_binary(Name)],
        ok = gen_tcp:send(Socket, [<<(iolist_size(Request)):16>>, Request]),
        case gen_tcp:recv(Socket, 2, step(Until)) of
            {ok, <<119, 0>>} ->
                case gen_tcp:recv(Socket, 2, step(Until)) of
                    {ok, <<Port:16>>} -> Port;
                    {error, Broken} -> epmd_broke(Where, Broken)
                end;
            {ok, <<119, _>>} ->
                because(not_registered, "EPMD at ~ts does not know the name ~ts: the node is not running, or has "
                                        "another name", [Host, Name]);
            {ok, _} ->
                because(failed, "what listens at ~ts (~ts, port ~b) is not EPMD", Where);
            {error, Broken} ->
                epmd_broke(Where, Broken)
        end
    after
        gen_tcp:close(Socket)
    end.

-spec epmd_broke([term()], atom()) -> no_return().
epmd_broke(Where, timeout) ->
    because(timeout, "EPMD at ~ts (~ts, port ~b) accepts connections but does not answer", Where);
epmd_broke(Where, Reason) ->
    because(failed, "EPMD at ~ts (~ts, port ~b) ended the connection (~ts)", Where ++ [posix(Reason)]).

epmd_port() ->
    case os:getenv("ERL_EPMD_PORT") of
        false -> 4369;
        Text ->
            case string:to_integer(Text) of
                {Port, ""} when is_integer(Port) -> Port;
                _ -> 4369
            end
    end.

-spec node_port(node(), inet:ip_address(), inet:port_number(), inet | inet6, map(), integer()) -> no_return().
node_port(Node, Address, Port, Family, #{proto_dist := Proto} = Circumstances, Until) ->
    Where = [Node, show(Address), Port],
    Options = [Family, binary, {packet, 2}, {active, false}, {nodelay, true}],
    case gen_tcp:connect(Address, Port, Options, step(Until)) of
        {ok, Socket} ->
            try
                case Proto of
                    "inet_tcp" -> ok;
                    "inet6_tcp" -> ok;
                    _ -> because(failed, "~ts (~ts, port ~b) accepts connections; what fails lies in ~ts_dist or in "
                                         "the handshake: see the logs of both nodes", Where ++ [Proto])
                end,
                handshake(Socket, Where, Circumstances, Until)
            after
                gen_tcp:close(Socket)
            end;
        {error, econnrefused} ->
            because(refused, "EPMD knows ~ts, but at ~ts port ~b nothing listens: the node has just ended, or "
                             "listens at another address", Where);
        {error, Reason} ->
            because(unreachable, "~ts (~ts, port ~b) cannot be reached (~ts): EPMD answers, so a firewall may let "
                                 "only its port through; set inet_dist_listen_min and inet_dist_listen_max and "
                                 "open these ports", Where ++ [posix(Reason)])
    end.

%% The handshake as we would do it, up to the answer to our proof.
-spec handshake(gen_tcp:socket(), [term()], map(), integer()) -> no_return().
handshake(Socket, [Node | _] = Where, #{own := Own, cookie := Cookie}, Until) ->
    Name = atom_to_binary(Own),
    Creation = 1,
    ok = send(Socket, <<$N, ?FLAGS:64, Creation:32, (byte_size(Name)):16, Name/binary>>, Where),
    case recv(Socket, Until) of
        {ok, <<"sok", _/binary>>} -> ok;
        {ok, <<"snamed:", _/binary>>} -> ok;
        {ok, <<"salive">>} ->
            because(failed, "~ts (~ts, port ~b) believes that an earlier connection to this node still stands, and "
                            "will until it missed its ticks (net_ticktime)", Where);
        {ok, <<"snok">>} ->
            because(failed, "~ts (~ts, port ~b) is connecting to this node at the same time", Where);
        {ok, <<"snot_allowed">>} ->
            because(refused, "~ts (~ts, port ~b) does not allow this node: net_kernel:allow/1 was called there",
                    Where);
        {ok, _} -> strange(Where);
        {error, timeout} -> silent(Where);
        {error, Closed} -> closed(Where, Closed)
    end,
    Challenge = case recv(Socket, Until) of
        {ok, <<$N, _Flags:64, Number:32, _Creation:32, Size:16, Theirs:Size/binary, _/binary>>} ->
            same_name(Node, Theirs, Where),
            Number;
        {ok, <<$n, _Version:16, _Flags:32, Number:32, Theirs/binary>>} ->
            same_name(Node, Theirs, Where),
            Number;
        {ok, _} -> strange(Where);
        {error, timeout} -> silent(Where);
        {error, Broken} -> closed(Where, Broken)
    end,
    Ours = rand:uniform(16#ffffffff),
    ok = send(Socket, <<$r, Ours:32, (digest(Cookie, Challenge))/binary>>, Where),
    Expected = digest(Cookie, Ours),
    case recv(Socket, Until) of
        {ok, <<$a, Expected:16/binary>>} ->
            because(failed, "~ts (~ts, port ~b) shakes hands now; what failed is over, or is a matter of the first "
                            "attempt: see the logs of both nodes", Where);
        {ok, <<$a, _:16/binary>>} ->
            because(cookie, "~ts (~ts, port ~b) accepts our cookie but has another one for us: set the same cookie "
                            "on both nodes", Where);
        {error, timeout} ->
            silent(Where);
        _ ->
            because(cookie, "the cookies differ: ~ts (~ts, port ~b) ended the handshake at our proof of the cookie; "
                            "set the same cookie on both nodes (-setcookie, RELEASE_COOKIE or ~~/.erlang.cookie)",
                    Where)
    end.

same_name(Node, Theirs, Where) ->
    atom_to_binary(Node) =:= Theirs
        orelse because(failed, "~ts (~ts, port ~b) is another node, ~ts: EPMD's entry is stale, or two hosts share "
                               "an address", Where ++ [Theirs]).

send(Socket, Packet, Where) ->
    case gen_tcp:send(Socket, Packet) of
        ok -> ok;
        {error, Reason} -> closed(Where, Reason)
    end.

recv(Socket, Until) ->
    gen_tcp:recv(Socket, 0, step(Until)).

digest(Cookie, Challenge) ->
    erlang:md5([atom_to_binary(Cookie), integer_to_binary(Challenge)]).

-spec silent([term()]) -> no_return().
silent(Where) ->
    because(timeout, "~ts (~ts, port ~b) accepts connections but does not answer: the node hangs, or is "
                     "overloaded", Where).

-spec strange([term()]) -> no_return().
strange(Where) ->
    because(failed, "what listens for ~ts (~ts, port ~b) does not speak the distribution protocol as this node "
                    "does", Where).

-spec closed([term()], term()) -> no_return().
closed(Where, Reason) ->
    because(refused, "~ts (~ts, port ~b) ended the connection at the start of the handshake (~ts): it may be "
                     "stopping, expect TLS (-proto_dist inet_tls), or be of an incompatible release; see its log",
            Where ++ [posix(Reason)]).

show(Address) -> inet:ntoa(Address).

posix(closed) -> "it closed the connection";
posix(timeout) -> "no answer in time";
posix(nxdomain) -> "no such name";
posix(Reason) when is_atom(Reason) -> inet:format_error(Reason);
posix(Reason) -> io_lib:format("~0tP", [Reason, 8]).
