%% @doc An EPMD module that knows a host which no resolver knows; for `-epmd_module'.
-module(rendez_test_epmd).

-export([start_link/0, register_node/2, register_node/3, port_please/2, port_please/3, address_please/3,
         listen_port_please/2, names/1]).

start_link() -> erl_epmd:start_link().
register_node(Name, Port) -> erl_epmd:register_node(Name, Port).
register_node(Name, Port, Family) -> erl_epmd:register_node(Name, Port, Family).
port_please(Name, Host) -> erl_epmd:port_please(Name, Host).
port_please(Name, Host, Timeout) -> erl_epmd:port_please(Name, Host, Timeout).
listen_port_please(Name, Host) -> erl_epmd:listen_port_please(Name, Host).
names(Host) -> erl_epmd:names(Host).

address_please(_Name, "machine-7.internal.invalid", inet) -> {ok, {127, 0, 0, 1}};
address_please(_Name, "127.0.0.1", inet) -> {ok, {127, 0, 0, 1}};
address_please(_Name, _Host, _Family) -> {error, nxdomain}.
