%% @doc Why there is no connection to a node, where `net_kernel:connect_node/1' says `false' and no more.
%%
%% Goes the way that the distribution goes, and tells where it ends. {@link reach/2} comes before the attempt:
%% the kinds of names, name resolution, EPMD, and whether the node is this one. {@link why_not/2} comes after
%% an attempt that failed: the node's port, and the handshake up to the proof that both know the cookie
%% ([https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html]). Each part has a time limit.
%%
%% The words:
%% <ul>
%% <li>`name_kind': one of the two has a long name (`-name'), the other a short one (`-sname')</li>
%% <li>`invalid_name': the name does not have the form `name@host'</li>
%% <li>`self': the node is this node itself, under another name or address</li>
%% <li>`name_resolution': the host's name has no address, or the name servers do not answer</li>
%% <li>`no_epmd': the host refuses connections to EPMD's port</li>
%% <li>`not_registered': EPMD answers and does not know the name: the node is down</li>
%% <li>`unreachable': no route, or nothing answers at the address: a firewall, or the host is down</li>
%% <li>`refused': EPMD knows the node, its port refuses connections, or the node refuses this one</li>
%% <li>`cookie': the cookies differ</li>
%% <li>`timeout': something accepts the connection and says nothing, or nothing in time</li>
%% <li>`failed': anything else; the message says what</li>
%% </ul>
%% A failure of the first three kinds is not retried until something changes.
-module(rendez_diagnose).

-export([reach/2, answers/1, why_not/2, allowed/2, why/2]).

-export_type([why/0, reached/0]).

%% How long a lookup may take. A resolver that lost a packet asks again after 5 seconds: its answer is there at
%% the next attempt.
-define(LOOKUP_MS, 3000).
%% How long EPMD may take to be connected to, and to answer. OTP gives the whole attempt 7 seconds.
-define(EPMD_MS, 5000).
%% What is left of the time for {@link why_not/2}, and how much of it one step may take.
-define(BUDGET_MS, 5000).
-define(STEP_MS, 2000).
%% How long a node may take to answer at the start of a handshake. OTP gives it 7 seconds.
-define(ANSWER_MS, 5000).
%% How many lookups may run at a time in OTP's own program for them. It has four workers, and net_kernel waits
%% for one of them too.
-define(NATIVE_LOOKUPS, [rendez_lookup_1, rendez_lookup_2, rendez_lookup_3]).

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

-define(SILENT, "~ts (~ts, port ~b) accepts connections but does not answer: the node hangs, or is overloaded").

-type why() :: {rendez_dist:reason(), Message :: binary()}.

-opaque reached() :: #{node := node(), host := string(), address := inet:ip_address(),
                       port := inet:port_number(), family := inet | inet6, given := map()}.
%% Where a node listens.

%% @doc Finds where the node listens, and everything that makes an attempt to connect pointless or slow.
%%
%% Instead of this node's circumstances others can be given: `longnames' (a boolean), `own' (a node), `cookie',
%% `proto_dist', `epmd_module', `lookup' (as `inet_db:res_option(lookup)') and `budget_ms', a limit for the whole.
-spec reach(node(), map()) -> {ok, reached()} | {error, why()}.
reach(Node, Given) ->
    Until = until(Given, ?LOOKUP_MS + 2 * ?EPMD_MS),
    try
        {ok, locate(Node, Given, Until)}
    catch
        throw:{?MODULE, Reason, Format, Arguments} -> {error, told(Reason, Format, Arguments)}
    end.

%% @doc Whether the node that was reached answers at the start of a handshake. Only silence is an error: whatever
%% else is wrong, an attempt to connect shows. The question is asked under a name that no node has, so that it is
%% not taken for an attempt of this node, on which the other one might wait.
-spec answers(reached()) -> ok | {error, why()}.
answers(#{node := Node, address := Address, port := Port, family := Family, given := Given}) ->
    case proto_dist(Given) of
        Proto when Proto =:= "inet_tcp"; Proto =:= "inet6_tcp" ->
            Until = until(Given, ?ANSWER_MS),
            case open(Address, Port, Family, limit(Until, ?ANSWER_MS)) of
                {ok, Socket} ->
                    [_, Host] = string:split(atom_to_list(own(Given)), "@"),
                    Name = unicode:characters_to_binary(["rendez-probe@", Host]),
                    _ = gen_tcp:send(Socket, send_name(Name)),
                    Answer = gen_tcp:recv(Socket, 0, limit(Until, ?ANSWER_MS)),
                    ok = gen_tcp:close(Socket),
                    case Answer of
                        {error, timeout} ->
                            {error, told(timeout, ?SILENT, [Node, show(Address), Port])};
                        _ ->
                            ok
                    end;
                {error, _} ->
                    ok
            end;
        _ ->
            ok
    end.

%% @doc Why the node that was reached could not be connected to. `last' in the options is what was found at the
%% last attempt: a wrong cookie is not tried a second time, since the node writes an error for each.
-spec why_not(reached(), map()) -> why().
why_not(#{node := Node, given := Given} = Reached, Options) ->
    Circumstances = maps:merge(Given, Options),
    Until = until(Given, ?BUDGET_MS),
    try
        node_port(Node, Reached, Circumstances, Until)
    catch
        throw:{?MODULE, Reason, Format, Arguments} -> told(Reason, Format, Arguments)
    end.

%% @doc Both one after the other.
-spec why(node(), map()) -> why().
why(Node, Given) ->
    case reach(Node, Given) of
        {ok, Reached} -> why_not(Reached, #{});
        {error, Why} -> Why
    end.

%% @doc Whether `net_kernel:allow/1' lets this node connect to that one; `Answer' is that of
%% `net_kernel:allowed()'.
-spec allowed(node(), Answer :: {ok, [node()]} | ignored) -> ok | {error, why()}.
allowed(Node, {ok, [_ | _] = Allowed}) ->
    case lists:member(Node, Allowed) of
        true -> ok;
        false ->
            {error, told(refused, "net_kernel:allow/1 was called on this node and ~ts is not among the nodes that it "
                                  "allows", [Node])}
    end;
allowed(_Node, _) ->
    ok.

-spec told(rendez_dist:reason(), string(), [term()]) -> why().
told(Reason, Format, Arguments) ->
    {Reason, unicode:characters_to_binary(io_lib:format(Format, Arguments))}.

until(Given, Default) ->
    erlang:monotonic_time(millisecond) + maps:get(budget_ms, Given, Default).

own(Given) -> maps:get(own, Given, node()).

proto_dist(#{proto_dist := Proto}) -> Proto;
proto_dist(_) ->
    case init:get_argument(proto_dist) of
        {ok, [[Proto | _] | _]} -> Proto;
        _ -> "inet_tcp"
    end.

epmd_module(#{epmd_module := Module}) -> Module;
epmd_module(_) -> net_kernel:epmd_module().

longnames(#{longnames := Long}) -> Long;
longnames(_) -> net_kernel:longnames().

-spec because(rendez_dist:reason(), string(), [term()]) -> no_return().
because(Reason, Format, Arguments) ->
    throw({?MODULE, Reason, Format, Arguments}).

locate(Node, Given, Until) ->
    {Name, Host} = case string:split(atom_to_list(Node), "@") of
        [N, H] when N =/= "", H =/= "" -> {N, H};
        _ -> because(invalid_name, "~ts is not a node name: it must have the form name@host", [Node])
    end,
    Own = own(Given),
    Node =:= Own andalso because(self, "~ts is this node itself", [Node]),
    name_kind(Host, longnames(Given), Own),
    Family = case proto_dist(Given) of
        "inet6" ++ _ -> inet6;
        _ -> inet
    end,
    {Address, Port} = case address(Name, Host, Family, Given, Until) of
        {Ip, Known} -> {Ip, Known};
        Ip -> {Ip, port(Name, Host, Ip, Family, Given, Until)}
    end,
    is_self(Address, Port) andalso because_self(Node, Own),
    #{node => Node, host => Host, address => Address, port => Port, family => Family, given => Given}.

name_kind(Host, Long, Own) ->
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

%%% Is it this node?

-spec because_self(node(), node()) -> no_return().
because_self(Node, Own) ->
    because(self, "~ts is this node, which is called ~ts: start it with the name by which the sources name it "
                  "(-name, RELEASE_NODE), or have them name it as it is called (host_type)", [Node, Own]).

%% A node that listens at an address of this host, on the port on which this node does.
is_self(Address, Port) ->
    is_here(Address) andalso lists:any(fun({Ip, Own}) -> Own =:= Port andalso covers(Ip, Address) end, listening()).

is_here({127, _, _, _}) -> true;
is_here({0, 0, 0, 0, 0, 0, 0, 1}) -> true;
is_here({0, 0, 0, 0, 0, 16#ffff, High, Low}) -> is_here(v4(High, Low));
is_here(Address) ->
    case inet:getifaddrs() of
        {ok, Interfaces} -> lists:member(Address, [Ip || {_, Options} <- Interfaces, {addr, Ip} <- Options]);
        _ -> false
    end.

v4(High, Low) -> {High bsr 8, High band 255, Low bsr 8, Low band 255}.

%% The addresses at which this node listens: its listening sockets belong to net_kernel.
listening() ->
    Links = case whereis(net_kernel) of
        undefined ->
            [];
        NetKernel ->
            case process_info(NetKernel, links) of
                {links, Linked} -> Linked;
                undefined -> []
            end
    end,
    [Socket || Port <- Links, is_port(Port), {ok, {_, _} = Socket} <- [inet:sockname(Port)]].

covers(Ip, Address) ->
    Ip =:= Address orelse Ip =:= {0, 0, 0, 0} orelse Ip =:= {0, 0, 0, 0, 0, 0, 0, 0}.

%%% The address

%% What OTP does: an EPMD module that has address_please/3 is asked instead of the resolver, and may know the
%% port as well.
address(Name, Host, Family, Given, Until) ->
    Module = epmd_module(Given),
    Asks = not lists:member(Module, [erl_epmd, rendez_epmd])
               andalso erlang:function_exported(Module, address_please, 3),
    case Asks of
        true -> address_please(Module, Name, Host, Family, Until);
        false -> look_up(Host, Family, Given, Until)
    end.

address_please(Module, Name, Host, Family, Until) ->
    case within(Until, ?LOOKUP_MS, fun() -> Module:address_please(Name, Host, Family) end) of
        {ok, {ok, Ip}} -> Ip;
        {ok, {ok, Ip, Port, _Version}} -> {Ip, Port};
        {ok, Other} ->
            because(name_resolution, "~ts, the -epmd_module of this node, has no ~ts address for ~ts at ~ts (~0tP)",
                    [Module, family(Family), Name, Host, Other, 8]);
        timeout ->
            because(name_resolution, "~ts, the -epmd_module of this node, did not say the address of ~ts at ~ts "
                                     "within ~b s", [Module, Name, Host, ?LOOKUP_MS div 1000])
    end.

look_up(Host, Family, Given, Until) ->
    Found = case inet:parse_address(Host) of
        {ok, _} -> inet:getaddr(Host, Family);
        {error, _} -> look_up(maps:get(lookup, Given, inet_db:res_option(lookup)), Host, Family, Given, Until)
    end,
    case Found of
        {ok, Address} -> Address;
        {error, timeout} ->
            because(name_resolution, "the address of the host ~ts is not known: no answer within ~b s; check that "
                                     "the name servers of this machine can be reached (/etc/resolv.conf)",
                    [Host, ?LOOKUP_MS div 1000]);
        {error, busy} ->
            because(name_resolution, "the address of the host ~ts is not known: too many other lookups wait for an "
                                     "answer; check that the name servers of this machine can be reached "
                                     "(/etc/resolv.conf)", [Host]);
        {error, Reason} ->
            because(name_resolution, "the host ~ts has no ~ts address (~ts): check its name, the DNS and /etc/hosts "
                                     "of this machine (`nameservers` serves discovery only)",
                    [Host, family(Family), posix(Reason)])
    end.

%% The system's resolver, as OTP uses it unless told otherwise: asked here, not by OTP's program, whose few
%% workers net_kernel needs. It is the same resolver with the same answers.
look_up([native], Host, Family, _Given, Until) ->
    Left = limit(Until, ?LOOKUP_MS),
    case rendez_nif:look_up(self(), unicode:characters_to_binary(Host), Left) of
        {ok, Tag} ->
            receive {rendez, Tag, {looked_up, Answer}} -> of_family(Family, Answer)
            after Left + ?STEP_MS -> {error, timeout}
            end;
        {error, _} = Error ->
            Error
    end;
look_up(Lookup, Host, Family, _Given, Until) ->
    Ask = fun() -> inet:getaddr(Host, Family) end,
    Slots = case lists:member(native, Lookup) of
        true -> ?NATIVE_LOOKUPS;
        false -> []
    end,
    case within(Until, ?LOOKUP_MS, fun() -> rendez_turn:run(Slots, Ask) end) of
        {ok, Answer} -> Answer;
        timeout -> {error, timeout}
    end.

of_family(inet, {ok, Addresses}) ->
    first([Ip || {_, _, _, _} = Ip <- Addresses]);
of_family(inet6, {ok, Addresses}) ->
    V4 = [{0, 0, 0, 0, 0, 16#ffff, A bsl 8 bor B, C bsl 8 bor D} || {A, B, C, D} <- Addresses],
    first([Ip || Ip <- Addresses, tuple_size(Ip) =:= 8] ++ V4);
of_family(_, Error) ->
    Error.

first([Ip | _]) -> {ok, Ip};
first([]) -> {error, nxdomain}.

family(inet) -> "IPv4";
family(inet6) -> "IPv6".

%% A look-up has no time limit of its own.
within(Until, Most, Fun) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({done, Fun()}) end),
    receive
        {'DOWN', Monitor, process, Pid, {done, Result}} -> {ok, Result};
        {'DOWN', Monitor, process, Pid, Other} -> {ok, {error, Other}}
    after limit(Until, Most) ->
        demonitor(Monitor, [flush]),
        exit(Pid, kill),
        timeout
    end.

step(Until) -> limit(Until, ?STEP_MS).

limit(Until, Most) ->
    max(1, min(Most, Until - erlang:monotonic_time(millisecond))).

%%% The port at which the node listens

port(Name, Host, Address, Family, Given, Until) ->
    case {epmd_module(Given), init:get_argument(erl_epmd_port)} of
        {erl_epmd, {ok, [[Fixed | _] | _]}} ->
            list_to_integer(Fixed);
        {erl_epmd, _} ->
            epmd(Name, Host, Address, Family, Until);
        {rendez_epmd, _} ->
            case rendez_epmd:known(Name, Host) of
                {ok, Port} -> Port;
                error -> epmd(Name, Host, Address, Family, Until)
            end;
        {Module, _} ->
            %% Someone's own EPMD: only it knows how it finds ports.
            case within(Until, ?EPMD_MS, fun() -> Module:port_please(Name, Address) end) of
                {ok, {port, Port, _}} -> Port;
                _ -> because(not_registered, "~ts knows no port of ~ts at ~ts", [Module, Name, Host])
            end
    end.

epmd(Name, Host, Address, Family, Until) ->
    EpmdPort = epmd_port(),
    Where = [Host, show(Address), EpmdPort],
    Socket = case gen_tcp:connect(Address, EpmdPort, [Family, binary, {packet, raw}, {active, false}],
                                  limit(Until, ?EPMD_MS)) of
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
        case gen_tcp:recv(Socket, 2, limit(Until, ?EPMD_MS)) of
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
    Given = case init:get_argument(epmd_port) of
        {ok, [[Argument | _] | _]} -> Argument;
        _ -> os:getenv("ERL_EPMD_PORT", "4369")
    end,
    case string:to_integer(Given) of
        {Port, ""} when is_integer(Port) -> Port;
        _ -> 4369
    end.

%%% After an attempt that failed

-spec node_port(node(), reached(), map(), integer()) -> no_return().
node_port(Node, #{address := Address, port := Port, family := Family}, Circumstances, Until) ->
    Proto = proto_dist(Circumstances),
    Where = [Node, show(Address), Port],
    case open(Address, Port, Family, step(Until)) of
        {ok, Socket} ->
            try
                case Proto of
                    "inet_tcp" -> ok;
                    "inet6_tcp" -> ok;
                    _ -> because(failed, "~ts (~ts, port ~b) accepts connections; what fails lies in ~ts_dist or in "
                                         "the handshake: see the logs of both nodes", Where ++ [Proto])
                end,
                handshake(Socket, Where, Node, Circumstances, Until)
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

%% Opens a connection to the distribution port of a node.
open(Address, Port, Family, Timeout) ->
    gen_tcp:connect(Address, Port, [Family, binary, {packet, 2}, {active, false}, {nodelay, true}], Timeout).

%% The first packet of the handshake, with the creation 1.
send_name(Name) -> <<$N, ?FLAGS:64, 1:32, (byte_size(Name)):16, Name/binary>>.

%% The handshake as we would do it, up to the answer to our proof.
-spec handshake(gen_tcp:socket(), [term()], node(), map(), integer()) -> no_return().
handshake(Socket, Where, Node, Circumstances, Until) ->
    Own = own(Circumstances),
    Name = atom_to_binary(Own),
    ok = send(Socket, send_name(Name), Where),
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
            same_name(Node, Theirs, Own, Where),
            Number;
        {ok, <<$n, _Version:16, _Flags:32, Number:32, Theirs/binary>>} ->
            same_name(Node, Theirs, Own, Where),
            Number;
        {ok, _} -> strange(Where);
        {error, timeout} -> silent(Where);
        {error, Broken} -> closed(Where, Broken)
    end,
    case Circumstances of
        #{last := {cookie, Message}} -> because(cookie, "~ts", [Message]);
        _ -> ok
    end,
    %% The cookie that this node uses with that one.
    Cookie = case Circumstances of
        #{cookie := Given} -> Given;
        _ -> erlang:get_cookie(Node)
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

same_name(Node, Theirs, Own, Where) ->
    atom_to_binary(Own) =:= Theirs andalso because_self(Node, Own),
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
    because(timeout, ?SILENT, Where).

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
posix(Text) when is_binary(Text) -> Text;
posix(nxdomain) -> "no such name";
posix(Reason) when is_atom(Reason) -> inet:format_error(Reason);
posix(Reason) -> io_lib:format("~0tP", [Reason, 8]).
