%% @doc A provider for the tests with a state, which counts its lookups, and is a process too.
-module(rendez_test_stateful).
-behaviour(rendez_provider).

-export([init/1, peers/1]).
-export([start_link/1]).

init(#{reporter := Reporter} = Options) ->
    Reporter ! {init, Options},
    {ok, {0, Reporter}};
init(#{fails := true}) ->
    {error, "no luck today"}.

peers({Count, Reporter}) ->
    Reporter ! {peers, Count},
    {ok, [<<"stateful@127.0.0.1">>], {Count + 1, Reporter}}.

start_link(Options) ->
    {reporter, Reporter} = lists:keyfind(reporter, 1, Options),
    Pid = spawn_link(fun Loop() -> receive die -> exit(died_on_purpose) after infinity -> Loop() end end),
    Reporter ! {served, Pid},
    {ok, Pid}.
