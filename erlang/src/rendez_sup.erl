%% @doc Supervises the clusters that the application's environment names and those started with
%% {@link rendez:start_cluster/1}.
-module(rendez_sup).
-behaviour(supervisor).

-export([start_link/1, start_cluster/1, stop_cluster/1]).
-export([init/1]).

-spec start_link([rendez:options()]) -> supervisor:startlink_ret().
start_link(Clusters) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Clusters).

-spec start_cluster(rendez:options()) -> {ok, pid()} | ignore | {error, term()}.
start_cluster(Options) ->
    case supervisor:start_child(?MODULE, rendez:child_spec(Options)) of
        {ok, Pid} when is_pid(Pid) -> {ok, Pid};
        {ok, undefined} ->
            {ok, Name} = rendez_config:name(Options),
            _ = supervisor:delete_child(?MODULE, {rendez, Name}),
            ignore;
        {error, already_present} -> {error, already_present};
        {error, Reason} -> {error, Reason}
    end.

-spec stop_cluster(rendez:name()) -> ok | {error, not_found}.
stop_cluster(Name) ->
    case supervisor:terminate_child(?MODULE, {rendez, Name}) of
        ok ->
            _ = supervisor:delete_child(?MODULE, {rendez, Name}),
            ok;
        {error, not_found} ->
            {error, not_found}
    end.

-spec init([rendez:options()]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Clusters) ->
    {ok, {#{strategy => one_for_one, intensity => 10, period => 10},
          [rendez:child_spec(Options) || Options <- Clusters]}}.
