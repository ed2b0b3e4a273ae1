%% @doc The native library: discovery and the engine, in Rust.
%%
%% Internal: {@link rendez_cluster} is its one user. Names cross as binaries in both directions; no
%% call waits for anything, answers that take time come as messages.
%%
%% The library may be loaded, purged and loaded again in one run of the BEAM: its code stays mapped
%% for as long as the BEAM lives, since its threads run in it. A handle from before a purge is a
%% `badarg' to the functions of the library that was loaded after it; clusters begin again by themselves
%% then. For an upgrade, `code:delete/1' and `code:purge/1' come before the load: OTP asks a library
%% that is in use for a hand-over which Rust NIFs do not have, so loading over it is refused, and the
%% current code stays.
-module(rendez_nif).

-export([start/2, stop/1, observe/3, report/2, status/2, refresh/1]).
-export([check/1, resolve/3, look_up/3, providers/0, is_provider/1, cluster_options/0, public_options/0, version/0]).

-export_type([handle/0, tag/0, options/0, observation/0, report/0]).

-on_load(load/0).

%% Not a function of its own: dialyzer knows what stands in for a NIF only by this call.
-define(NOT_LOADED, erlang:nif_error({nif_not_loaded, ?MODULE})).

-opaque handle() :: reference().
%% A running cluster. It stops when this is garbage collected, when its owner dies, and at `stop/1'.

-type tag() :: reference().
%% Marks the messages of one cluster or of one resolve: `{rendez, Tag, Message}'.

-type options() :: #{atom() | binary() => term()}.

-type observation() :: {snapshot, [binary()]} | {failed, binary()}
                     | {seen, binary(), TtlMs :: non_neg_integer()} | {gone, binary()}.

-type report() :: {up, binary()} | {up_hidden, binary()} | {down, binary()} | {down, binary(), Reason :: binary()}
                | {connected, binary()}
                | {failed, binary(), Reason :: atom(), Message :: binary()}.

-spec load() -> ok | {error, term()}.
load() ->
    case erlang:load_nif(path(), 0) of
        {error, {upgrade, _}} ->
            {error, {upgrade, "the current code stays; to replace it, call code:purge, code:delete and code:purge "
                              "for rendez_nif first"}};
        Loaded ->
            Loaded
    end.

%% The application's priv directory; beside the beam's directory where the code path knows no
%% application, as when one runs from a plain `-pa'.
path() ->
    Priv = case code:priv_dir(rendez) of
        {error, bad_name} ->
            Ebin = case code:which(?MODULE) of
                File when is_list(File) -> filename:dirname(File);
                _ -> "."
            end,
            filename:join(filename:dirname(Ebin), "priv");
        Dir ->
            Dir
    end,
    filename:join(Priv, "rendez_nif").

%% @doc Starts a cluster for `Owner', which gets its messages:
%%
%% `{rendez, Tag, {connect, Name}}', `{rendez, Tag, {disconnect, Name}}',
%% `{rendez, Tag, {event, Kind :: atom(), map()}}', `{rendez, Tag, {status, StatusTag, map()}}' and,
%% at its end, `{rendez, Tag, stopped}', or `{rendez, Tag, {stopped, Message}}' if it crashed.
-spec start(Owner :: pid(), options()) -> {ok, handle(), tag()} | {error, Message :: binary()}.
start(_Owner, _Options) -> ?NOT_LOADED.

%% @doc Stops the cluster: its providers say goodbye, then its owner gets `{rendez, Tag, stopped}'.
-spec stop(handle()) -> ok.
stop(_Handle) -> ?NOT_LOADED.

%% @doc What the provider `Name', which runs in the BEAM, learnt.
-spec observe(handle(), Provider :: binary(), observation()) -> ok | {error, Message :: binary()}.
observe(_Handle, _Provider, _Observation) -> ?NOT_LOADED.

%% @doc What became of the cluster's connections.
-spec report(handle(), report()) -> ok | {error, Message :: binary()}.
report(_Handle, _Report) -> ?NOT_LOADED.

%% @doc Asks for the status; it comes as `{rendez, Tag, {status, StatusTag, map()}}'.
-spec status(handle(), StatusTag :: reference()) -> ok | {error, Message :: binary()}.
status(_Handle, _StatusTag) -> ?NOT_LOADED.

%% @doc Every provider looks now, and every waiting backoff is over.
-spec refresh(handle()) -> ok | {error, Message :: binary()}.
refresh(_Handle) -> ?NOT_LOADED.

%% @doc Checks options without starting anything.
%% `{off, Why}': the options are right and say that there is to be no cluster.
-spec check(options()) -> ok | {off, Why :: binary()} | {error, Message :: binary()}.
check(_Options) -> ?NOT_LOADED.

%% @doc Looks once. `Owner' gets `{rendez, Tag, {resolved, {ok, [Name]} | {error, Message}}}'.
-spec resolve(Owner :: pid(), options(), WithinMs :: pos_integer()) ->
    {ok, tag()} | {error, Message :: binary()}.
resolve(_Owner, _Options, _WithinMs) -> ?NOT_LOADED.

%% @doc Looks up a host with the system's resolver. `Owner' gets `{rendez, Tag, {looked_up, Answer}}' within the
%% time, where `Answer' is `{ok, [Address]}' or `{error, timeout | busy | Message}'. At most 256 hosts are looked up
%% at a time.
-spec look_up(Owner :: pid(), Host :: binary(), WithinMs :: pos_integer()) ->
    {ok, tag()} | {error, Message :: binary()}.
look_up(_Owner, _Host, _WithinMs) -> ?NOT_LOADED.

%% @doc The words that `via' takes.
-spec providers() -> [atom()].
providers() -> ?NOT_LOADED.

%% @doc Whether `via' takes the word for a native provider: one of {@link providers/0} or another name for
%% one.
-spec is_provider(atom() | binary()) -> boolean().
is_provider(_Word) -> ?NOT_LOADED.

%% @doc The options of a cluster that belong to no provider.
-spec cluster_options() -> [atom()].
cluster_options() -> ?NOT_LOADED.

%% @doc The options of a cluster and of its providers whose values are not secret. The value of any other option must not be shown.
-spec public_options() -> [atom()].
public_options() -> ?NOT_LOADED.

%% @doc The version of the library.
-spec version() -> binary().
version() -> ?NOT_LOADED.
