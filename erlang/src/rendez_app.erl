%% @doc The application: starts the clusters that its environment names, or none.
%%
%% With `via' in the environment one cluster named `rendez' starts; `clusters' names several, each a
%% list or map of options with a `name' of its own, or `{Name, Options}'. With an empty environment
%% nothing starts but the supervisor.
-module(rendez_app).
-behaviour(application).

-export([start/2, stop/1]).

-include_lib("kernel/include/logger.hrl").

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Arguments) ->
    case rendez_config:clusters(application:get_all_env(rendez)) of
        {ok, Clusters} ->
            case rendez_sup:start_link(Clusters) of
                {ok, Pid} -> {ok, Pid};
                {error, Reason} -> {error, Reason};
                ignore -> {error, ignore}
            end;
        {error, Message} ->
            ?LOG_ERROR("rendez does not start: ~ts", [Message], #{application => rendez}),
            {error, {invalid_options, Message}}
    end.

-spec stop(term()) -> ok.
stop(_State) -> ok.
