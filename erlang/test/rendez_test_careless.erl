%% @doc A provider and a distribution for the tests that put their options into whatever goes wrong.
-module(rendez_test_careless).

-export([init/1, peers/1, start_link/1, how/1]).
-export([members/1, connect/2, disconnect/2, handle_info/2]).

%% How it goes wrong from now on.
how(What) -> persistent_term:put(?MODULE, What).

-dialyzer({nowarn_function, [go_wrong/1]}).
go_wrong(Options) ->
    case persistent_term:get(?MODULE, nothing) of
        nothing -> [];
        error -> error({unauthorized, Options});
        badmatch -> nothing = Options;
        function_clause -> only_atoms(Options);
        undef -> not_there:at_all(Options);
        exit -> exit({shutdown, Options});
        throw -> throw(maps:to_list(Options));
        texts -> {error, io_lib:format("~ts", [maps:get(password, Options)])};
        printed -> {error, unicode:characters_to_binary(io_lib:format("~p", [Options]))};
        nonsense -> {nonsense, Options};
        names -> maps:values(Options)
    end.

only_atoms(Atom) when is_atom(Atom) -> [].

%%% A provider

init(#{} = Options) -> {ok, Options}.

peers(Options) ->
    case go_wrong(Options) of
        {error, Reason} -> {error, Reason, Options};
        {nonsense, _} = Nonsense -> Nonsense;
        Names -> {ok, Names, Options}
    end.

start_link(Options) ->
    case persistent_term:get(?MODULE, nothing) of
        nothing -> {ok, spawn_link(fun Loop() -> receive {stop, Why} -> exit({Why, Options}); _ -> Loop() end end)};
        _ -> {error, {cannot_start, Options}}
    end.

%%% A distribution

members(Options) -> go_wrong(Options).

connect(_Node, Options) ->
    _ = go_wrong(Options),
    {error, {failed, <<"not connected on purpose">>}}.

disconnect(_Node, _Options) -> ok.

handle_info(_Message, Options) ->
    _ = go_wrong(Options),
    ignore.
