%% @doc Lets OTP's distribution use the ports that discovery found, without asking EPMD.
%%
%% A node that is started with `-epmd_module rendez_epmd' connects to a node whose port is known, from
%% an SRV record, without a question to the EPMD of its host. About every other node it asks EPMD as
%% usual. It registers with the EPMD of its own host if there is one; with `-start_epmd false' there
%% need be none, and the node's listening port is then one that DNS names:
%% `-kernel inet_dist_listen_min 9100 inet_dist_listen_max 9100'.
%%
%% The functions besides `learn/2' and `forget/1' are those that OTP calls: see "How to Implement an
%% Alternative Node Discovery for Erlang Distribution" in the ERTS User's Guide. Without that flag this
%% module does nothing.
-module(rendez_epmd).

-export([learn/2, forget/1, known/2]).
-export([start_link/0, register_node/2, register_node/3, port_please/2, port_please/3,
         address_please/3, listen_port_please/2, names/0, names/1]).

%% The version of the distribution protocol since OTP 23.
-define(VERSION, 6).

%% @doc The node listens on this port.
-spec learn(node(), inet:port_number()) -> ok.
learn(Node, Port) ->
    write(fun() -> ets:insert(?MODULE, {atom_to_list(Node), Port}) end).

%% @doc The node's port is not known any more.
-spec forget(node()) -> ok.
forget(Node) ->
    write(fun() -> ets:delete(?MODULE, atom_to_list(Node)) end).

write(Write) ->
    case ets:whereis(?MODULE) of
        undefined -> ok;
        _ -> true = Write(), ok
    end.

-spec start_link() -> term().
start_link() ->
    %% The supervisor of the distribution calls this and owns the table, which lasts as long as it.
    _ = case ets:whereis(?MODULE) of
        undefined -> ets:new(?MODULE, [named_table, public, {read_concurrency, true}]);
        Table -> Table
    end,
    erl_epmd:start_link().

-spec register_node(string(), inet:port_number()) -> term().
register_node(Name, Port) ->
    register_node(Name, Port, inet).

-spec register_node(string(), inet:port_number(), atom()) -> term().
register_node(Name, Port, Family) ->
    case erl_epmd:register_node(Name, Port, Family) of
        {error, Reason} when Reason =/= duplicate_name ->
            %% No EPMD. The creation tells two lives of one node apart; 0 to 3 are those of OTP 22 and older.
            {ok, 3 + rand:uniform(16#FFFFFFFF - 3)};
        Other ->
            Other
    end.

-spec address_please(string(), string(), inet | inet6) -> term().
address_please(Name, Host, Family) ->
    case known(Name, Host) of
        {ok, Port} ->
            case inet:getaddr(Host, Family) of
                {ok, Ip} -> {ok, Ip, Port, ?VERSION};
                Error -> Error
            end;
        error ->
            erl_epmd:address_please(Name, Host, Family)
    end.

-spec port_please(string(), string() | inet:ip_address()) -> term().
port_please(Name, Host) ->
    port_please(Name, Host, infinity).

-spec port_please(string(), string() | inet:ip_address(), timeout()) -> term().
port_please(Name, Host, Timeout) ->
    case known(Name, Host) of
        {ok, Port} -> {port, Port, ?VERSION};
        error -> erl_epmd:port_please(Name, Host, Timeout)
    end.

%% @doc The port of the node, if it is known.
-spec known(string(), string() | inet:ip_address()) -> {ok, inet:port_number()} | error.
known(Name, Host) when is_list(Host) ->
    case ets:whereis(?MODULE) =/= undefined andalso ets:lookup(?MODULE, Name ++ "@" ++ Host) of
        [{_, Port}] -> {ok, Port};
        _ -> error
    end;
known(_Name, _Ip) ->
    error.

-spec listen_port_please(string(), string()) -> term().
listen_port_please(Name, Host) ->
    erl_epmd:listen_port_please(Name, Host).

-spec names() -> term().
names() ->
    erl_epmd:names().

-spec names(string() | inet:ip_address()) -> term().
names(Host) ->
    erl_epmd:names(Host).
