%% @doc Reads a cluster's options: what the BEAM side looks after, and what goes to the native side.
%%
%% Options are a keyword list, a proplist or a map, with atoms or binaries as keys. What `via' names
%% is one of the native providers, or a module that is a provider; the native side has the table of
%% all other options, and the last word on them.
-module(rendez_config).

-export([clusters/1, cluster/1, resolve/2, name/1, duration_ms/1, show_module/1]).

-export_type([cluster/0, provider/0]).

-type provider() :: #{name := binary(),
                      module := module(),
                      options := rendez_provider:options(),
                      interval := pos_integer(),
                      timeout := pos_integer(),
                      serves := boolean()}.
%% A provider that is a module. `interval' and `timeout' are milliseconds.

-type cluster() :: #{name := rendez:name(),
                     dist := {module(), map()},
                     providers := [provider()],
                     refresh := pos_integer(),
                     native := rendez_nif:options()}.
%% `refresh' is how often the members are compared, in milliseconds.

%% What Peerage polls at.
-define(INTERVAL_MS, 10_000).
-define(TIMEOUT_MS, 10_000).
%% What gen_cluster compares at.
-define(REFRESH_MS, 5_000).

%% The options that the native side never sees.
-define(OURS, [name, dist, clusters]).
%% What the application's environment holds besides options: what OTP puts there, and what the build of
%% the native library reads (`features', in config.exs).
-define(NOT_OPTIONS, [included_applications, features]).
%% The values that turn a cluster or a provider off.
-define(IS_OFF(Term), (Term =:= nil orelse Term =:= undefined orelse Term =:= ignore)).
%% What a module's options mean to whoever runs it.
-define(POLLER, [interval, timeout, serves]).

%% @doc The clusters that an application environment names.
-spec clusters([{atom(), term()}]) -> {ok, [rendez:options()]} | {error, Message :: binary()}.
clusters(Env0) ->
    try
        Env = [Entry || {Key, _} = Entry <- rendez_secret:open(Env0), not lists:member(Key, ?NOT_OPTIONS)],
        Own = case lists:keymember(via, 1, Env) of
            true ->
                [maps:without([clusters], maps:merge(#{name => rendez}, maps:from_list(Env)))];
            false ->
                case [Key || {Key, _} <- Env, Key =/= clusters] of
                    [] -> [];
                    [Key | _] ->
                        fail("~ts is set in the environment of rendez, but `via` is not: "
                             "set via to where the peers are found, for example dns", [Key])
                end
        end,
        Clusters = Own ++ [named(Entry) || Entry <- list(proplists:get_value(clusters, Env, []))],
        Names = [maps:get(name, Options) || Options <- Clusters],
        case Names -- lists:usort(Names) of
            [] -> ok;
            [Twice | _] -> fail("clusters: the name ~ts is given twice", [show(Twice)])
        end,
        lists:foreach(fun check/1, Clusters),
        {ok, [rendez_secret:seal(Options) || Options <- Clusters]}
    catch
        throw:{?MODULE, Why} -> {error, Why};
        error:_:Stack -> {error, mistake(Stack)}
    end.

%% What is said where reading options crashes: they are neither in it nor in its stack trace.
mistake(Stack) ->
    text("the options cannot be read, which is a mistake in Rendez; please report this: ~0tp",
         [rendez_secret:without_arguments(Stack)]).

%% Options that turn a cluster off give an empty list: the cluster is not started.
list(Nothing) when ?IS_OFF(Nothing) -> [];
list(List) when is_list(List) ->
    proper(List, "clusters"),
    [Entry || Entry <- List, not is_off(Entry)];
list(Map) when is_map(Map) -> list(maps:to_list(Map));
list(Other) -> fail("clusters takes a list of clusters, each a list of options with a name, or "
                    "{Name, Options}; got ~ts", [kind_of(Other)]).

is_off({Name, Options}) when is_atom(Name), ?IS_OFF(Options) -> true;
is_off(Options) -> ?IS_OFF(Options).

named({Name, Options}) when is_atom(Name), is_list(Options) orelse is_map(Options) ->
    (to_map(Options, "clusters"))#{name => Name};
named(Options) when is_list(Options); is_map(Options) ->
    case to_map(Options, "clusters") of
        #{name := Name} = Map when is_atom(Name) -> Map;
        #{name := Name} -> fail("name takes an atom; got ~ts", [show(Name)]);
        _ -> fail("clusters: a cluster has no name; give it one: [{name, my_cluster}, ...]", [])
    end;
named(Other) ->
    fail("clusters takes lists of options, each with a name; got ~ts", [kind_of(Other)]).

check(Options) ->
    case cluster(Options) of
        {ok, #{native := Native}} ->
            case rendez_nif:check(rendez_secret:open(Native)) of
                ok -> ok;
                {off, _} -> ok;
                {error, Message} -> fail("~ts", [Message])
            end;
        {error, Message} ->
            fail("~ts", [Message])
    end.

%% @doc The cluster's name, `rendez' unless given.
-spec name(rendez:options()) -> {ok, rendez:name()} | {error, Message :: binary()}.
name(Options) ->
    try
        {ok, take_name(to_map(Options, "the options"))}
    catch
        throw:{?MODULE, Message} -> {error, Message};
        error:_:Stack -> {error, mistake(Stack)}
    end.

%% @doc Reads one cluster's options. What it returns as `native' is not checked yet:
%% {@link rendez_nif:check/1} does that.
-spec cluster(rendez:options()) -> {ok, cluster()} | {error, Message :: binary()}.
cluster(Options0) ->
    try
        Options = to_map(rendez_secret:open(Options0), "the options"),
        Name = take_name(Options),
        Dist = dist_with(Options),
        Rest = maps:without(?OURS, Options),
        {Via, Flat} = case maps:take(via, Rest) of
            error -> {[], Rest};
            {Given, Others} -> {via(Given), Others}
        end,
        {Entries, {Providers, Native}} = lists:mapfoldl(
            fun(Entry, Accumulator) -> split(Entry, length(Via), Accumulator) end, {[], Flat}, Via),
        case duplicates([ProviderName || #{name := ProviderName} <- Providers]) of
            [] -> ok;
            [Twice | _] -> fail("via: the module ~ts is given twice", [show_module(Twice)])
        end,
        %% Sealed, because a process that crashes writes its state into a report.
        {ok, #{name => Name,
               dist => sealed(Dist),
               refresh => refresh(Options),
               providers => [Provider#{options := rendez_secret:seal_all(Own)}
                             || #{options := Own} = Provider <- lists:reverse(Providers)],
               native => rendez_secret:seal(case Options of
                                                #{via := _} -> Native#{via => Entries};
                                                _ -> Native
                                            end)}}
    catch
        throw:{?MODULE, Why} -> {error, Why};
        error:_:Stack -> {error, mistake(Stack)}
    end.

sealed({Module, Options}) -> {Module, rendez_secret:seal_all(Options)}.

%% @doc Reads the options of one look-up: a cluster's, and `timeout'.
-spec resolve(rendez:options(), pos_integer()) ->
    {ok, cluster(), TimeoutMs :: pos_integer()} | {error, Message :: binary()}.
resolve(Options0, Default) ->
    try
        Options = to_map(rendez_secret:open(Options0), "the options"),
        Timeout = case Options of
            #{timeout := Value} ->
                case duration_ms(Value) of
                    {ok, Ms} when Ms > 0 -> Ms;
                    _ -> fail("timeout takes a span of time above zero; got ~ts", [show(Value)])
                end;
            _ ->
                Default
        end,
        case cluster(maps:remove(timeout, Options)) of
            {ok, Config} -> {ok, Config, Timeout};
            {error, Message} -> {error, Message}
        end
    catch
        throw:{?MODULE, Why} -> {error, Why};
        error:_:Stack -> {error, mistake(Stack)}
    end.

duplicates(List) -> List -- lists:usort(List).

take_name(Options) ->
    case maps:get(name, Options, rendez) of
        Name when is_atom(Name), Name =/= undefined, Name =/= nil -> Name;
        Other -> fail("name takes an atom; got ~ts", [show(Other)])
    end.

%% Keys that we know are atoms from here on; those that we do not know stay what they are.
to_map(Options, Where) when is_map(Options) ->
    to_map(maps:to_list(Options), Where);
to_map(Options, Where) when is_list(Options) ->
    proper(Options, Where),
    lists:foldl(
        fun(Entry, Map) ->
            {Key, Value} = case Entry of
                {K, V} when is_atom(K); is_binary(K) -> {known(K), V};
                K when is_atom(K) -> {known(K), true};
                Other -> fail("~ts: an option is {name, value}; got ~ts", [Where, kind_of(Other)])
            end,
            case Map of
                #{Key := _} -> fail("~ts is given twice; leave one of them out", [Key]);
                _ -> Map#{Key => Value}
            end
        end, #{}, Options);
to_map(Other, Where) ->
    fail("~ts: a keyword list, a proplist or a map is wanted; got ~ts", [Where, kind_of(Other)]).

proper(List, Where) ->
    try length(List) of
        _ -> ok
    catch
        error:badarg -> fail("~ts: an improper list", [Where])
    end.

known(Key) when is_binary(Key) ->
    Ours = [via, refresh_interval_ms, connect | ?OURS ++ ?POLLER],
    case lists:keyfind(Key, 1, [{atom_to_binary(Word), Word} || Word <- Ours]) of
        {_, Word} -> Word;
        false -> Key
    end;
known(Key) -> Key.

%% OTP's distribution makes connections of the kind that `connect' says; the native side refuses other words.
dist_with(Options) ->
    case {dist(Options), maps:get(connect, Options, visible)} of
        {{rendez_dist_otp, Own}, Hidden} when Hidden =:= hidden; Hidden =:= <<"hidden">>; Hidden =:= "hidden" ->
            {rendez_dist_otp, Own#{connect => hidden}};
        {Dist, _} ->
            Dist
    end.

dist(Options) ->
    {Module, DistOptions} = case maps:get(dist, Options, rendez_dist_otp) of
        {Given, GivenOptions} when is_atom(Given) -> {Given, to_map(GivenOptions, "dist")};
        Given when is_atom(Given) -> {Given, #{}};
        Other -> fail("dist takes a module of the behaviour rendez_dist, or {Module, Options}; got ~ts",
                      [kind_of(Other)])
    end,
    case exports(Module, [{init, 1}, {members, 1}, {connect, 2}, {disconnect, 2}]) of
        true -> {Module, DistOptions};
        false -> fail("dist: ~ts is no module of the behaviour rendez_dist: it has to export init/1, "
                      "members/1, connect/2 and disconnect/2", [show(Module)])
    end.

%% The native side reads it too, where infinity turns reconnection off, and refuses what it does not take.
refresh(#{refresh_interval_ms := Ms}) when is_integer(Ms), Ms > 0, Ms =< 31_536_000_000 -> Ms;
refresh(_) -> ?REFRESH_MS.

%% Every form of `via' as a list of `Kind' and `{Kind, Options}'.
via(Kind) when is_atom(Kind); is_binary(Kind); is_tuple(Kind) -> [Kind];
via(Map) when is_map(Map) -> maps:to_list(Map);
via(List) when is_list(List) ->
    proper(List, "via"),
    case List =/= [] andalso io_lib:printable_unicode_list(List) of
        true -> [unicode:characters_to_binary(List)];
        false -> List
    end;
via(Other) ->
    fail("via takes a provider, {Provider, Options} or a list of them; got ~ts", [kind_of(Other)]).

%% A native provider stays as it is; of a module, the native side learns the name only.
split(Entry, Count, {Providers, Flat}) ->
    {Kind, Given} = case Entry of
        {K, Options} -> {K, Options};
        K -> {K, none}
    end,
    case kind(Kind) of
        native ->
            {Entry, {Providers, Flat}};
        {module, _} when ?IS_OFF(Given) ->
            %% The native side says that it is left out.
            {{external, Given}, {Providers, Flat}};
        {module, Module} ->
            {Own, Rest} = case Given of
                none when Count =:= 1 ->
                    %% The flat form: whatever is no option of the cluster is the module's.
                    {maps:without(rendez_nif:cluster_options(), Flat),
                     maps:with(rendez_nif:cluster_options(), Flat)};
                none ->
                    {#{}, Flat};
                _ ->
                    {to_map(Given, show_module(Module)), Flat}
            end,
            Provider = provider(Module, Own),
            {{external, maps:get(name, Provider)}, {[Provider | Providers], Rest}}
    end.

kind(Kind) when is_atom(Kind) ->
    case rendez_nif:is_provider(Kind) of
        true -> native;
        false ->
            case exports(Kind, [{poll, 0}]) orelse exports(Kind, [{init, 1}, {peers, 1}]) of
                true -> {module, Kind};
                false -> no_provider(Kind)
            end
    end;
kind(_) ->
    native.

%% A word that is near a native provider's is for the native side to tell, which knows the spellings.
no_provider(Kind) ->
    case {atom_to_list(Kind), code:ensure_loaded(Kind)} of
        {_, {module, _}} ->
            fail("via: ~ts is no provider: a module that is one exports poll/0, or init/1 and peers/1; "
                 "the others are ~ts", [show_module(Kind), words(rendez_nif:providers())]);
        {"Elixir." ++ _, {error, Reason}} ->
            fail("via: the module ~ts cannot be loaded (~ts): check its spelling, and that its "
                 "application is a dependency", [show_module(Kind), show(Reason)]);
        _ ->
            native
    end.

provider(Module, Options) ->
    Serves = case maps:get(serves, Options, false) of
        Flag when is_boolean(Flag) -> Flag;
        Other -> fail("~ts: serves takes true or false; got ~ts", [show_module(Module), show(Other)])
    end,
    case Serves andalso not servable(Module) of
        true -> fail("~ts: serves is true, but the module exports no start_link/0, start_link/1 or "
                     "child_spec/1", [show_module(Module)]);
        false -> ok
    end,
    #{name => unicode:characters_to_binary(show_module(Module)),
      module => Module,
      options => maps:without(?POLLER, Options),
      interval => span(Module, interval, Options, ?INTERVAL_MS),
      timeout => span(Module, timeout, Options, ?TIMEOUT_MS),
      serves => Serves}.

servable(Module) ->
    lists:any(fun(Function) -> exports(Module, [Function]) end,
              [{child_spec, 1}, {start_link, 1}, {start_link, 0}]).

span(Module, Key, Options, Default) ->
    case Options of
        #{Key := Value} ->
            case duration_ms(Value) of
                {ok, Ms} when Ms > 0 -> Ms;
                _ -> fail("~ts: ~ts takes a span of time above zero: a number of seconds, or text with a "
                          "unit such as \"250ms\", \"5s\", \"2m\"; got ~ts",
                          [show_module(Module), Key, show(Value)])
            end;
        _ ->
            Default
    end.

%% @doc Reads a span of time: a number is seconds, text may carry a unit, `ms', `s', `m' or `h'.
%% A year is the most.
-spec duration_ms(term()) -> {ok, non_neg_integer()} | error.
duration_ms(Seconds) when is_number(Seconds), Seconds >= 0, Seconds =< 31_536_000 ->
    {ok, round(Seconds * 1000)};
duration_ms(Text) when is_binary(Text); is_list(Text) ->
    try re:run(Text, "^\\s*([0-9]+(?:\\.[0-9]+)?)\\s*(ms|s|min|m|h|)\\s*$",
               [{capture, all_but_first, list}]) of
        {match, [Number, Unit]} ->
            Seconds = case lists:member($., Number) of
                true -> list_to_float(Number);
                false -> list_to_integer(Number)
            end,
            duration_ms(case Unit of
                "ms" -> Seconds / 1000;
                "m" -> Seconds * 60;
                "min" -> Seconds * 60;
                "h" -> Seconds * 3600;
                _ -> Seconds
            end);
        nomatch ->
            error
    catch
        error:_ -> error
    end;
duration_ms(_) ->
    error.

exports(Module, Functions) ->
    case code:ensure_loaded(Module) of
        {module, _} ->
            lists:all(fun({Function, Arity}) -> erlang:function_exported(Module, Function, Arity) end,
                      Functions);
        {error, _} ->
            false
    end.

words(Atoms) -> lists:join(", ", [atom_to_list(Atom) || Atom <- Atoms]).

%% @doc A module as its language writes it: Elixir's without the prefix that only Erlang sees.
-spec show_module(module() | binary()) -> binary().
show_module(Module) when is_binary(Module) ->
    case Module of
        <<"Elixir.", Name/binary>> -> Name;
        Name -> Name
    end;
show_module(Module) -> show_module(atom_to_binary(Module)).

%% Formats the value of an option that is not a secret.
show(Term) -> io_lib:format("~0tP", [Term, 12]).

%% Describes a value that may be a secret, or contain one, by its type alone.
kind_of(Term) when is_integer(Term) -> "a whole number";
kind_of(Term) when is_float(Term) -> "a number";
kind_of(Term) when is_atom(Term) -> "an atom";
kind_of(Term) when is_binary(Term) -> "text";
kind_of(Term) when is_map(Term) -> "a map";
kind_of(Term) when is_list(Term) -> "a list";
kind_of(Term) when is_tuple(Term) -> io_lib:format("a tuple of ~b", [tuple_size(Term)]);
kind_of(_) -> "a term of another kind".

text(Format, Arguments) -> unicode:characters_to_binary(io_lib:format(Format, Arguments)).

-spec fail(string(), [term()]) -> no_return().
fail(Format, Arguments) ->
    throw({?MODULE, text(Format, Arguments)}).
