%% @doc What the engine tells, for people and metrics: to subscribers, to the log, to telemetry.
%%
%% Telemetry events, where `telemetry' is loaded: `[rendez, node, joined | left | connect_failed |
%% discovered | withdrawn | refused]' and `[rendez, provider, failed | recovered | warning]', the last once
%% at the start. Each has the measurement `count' (1), and `after_ms', `attempts' and `retry_in_ms' where the event has them; the
%% metadata has `cluster', `node' or `provider', and the rest of the event.
%%
%% What the log says, how loudly and how often, the native side decides: `src/cluster/report'. This module writes
%% the lines that it is given, and those that the cluster's process has of its own. Their metadata: `application'
%% (`rendez'), `cluster', `event', and, where the line has them, `node', `provider', `reason', `attempts', `retry_in_ms',
%% `after_ms' and `count'. They have no domain: OTP's default handler drops every domain but its own, so the
%% lines would not be shown.
-module(rendez_events).

-export([new/1, from_native/2, publish/3, line/3, log/5]).

-export_type([state/0]).

-include_lib("kernel/include/logger.hrl").

%% How long the same line of the cluster's own is told at debug.
-define(AGAIN_MS, 60_000).

-record(events, {cluster :: atom(),
                 %% What was told of an event, and when.
                 told = #{} :: #{atom() => {unicode:chardata(), integer()}}}).

-opaque state() :: #events{}.

-spec new(rendez:name()) -> state().
new(Cluster) -> #events{cluster = Cluster}.

%% @doc The native side's event as an {@link rendez:event()}. An atom is made of no name that was not
%% one before.
-spec from_native(atom(), map()) -> {ok, rendez:event()} | error.
from_native(Kind, #{node := Name} = Info)
        when Kind =:= joined; Kind =:= left; Kind =:= connect_failed ->
    try binary_to_existing_atom(Name) of
        Node -> {ok, {Kind, Node, maps:remove(node, Info)}}
    catch
        error:badarg -> error
    end;
from_native(Kind, #{node := Name} = Info)
        when Kind =:= discovered; Kind =:= withdrawn; Kind =:= refused ->
    {ok, {Kind, Name, maps:remove(node, Info)}};
from_native(Kind, #{provider := Provider} = Info)
        when Kind =:= provider_failed; Kind =:= provider_recovered; Kind =:= provider_warning ->
    {ok, {Kind, Provider, maps:remove(provider, Info)}};
from_native(_, _) ->
    error.

%% @doc Tells subscribers and telemetry.
-spec publish(rendez:event(), [pid()], state()) -> ok.
publish(Event, Subscribers, #events{cluster = Cluster}) ->
    Message = {rendez, Cluster, Event},
    lists:foreach(fun(Pid) -> Pid ! Message end, Subscribers),
    telemetry(Cluster, Event).

telemetry(Cluster, {Kind, Subject, Info}) ->
    case erlang:function_exported(telemetry, execute, 3) of
        true ->
            {Name, Key} = case Kind of
                provider_failed -> {[rendez, provider, failed], provider};
                provider_recovered -> {[rendez, provider, recovered], provider};
                provider_warning -> {[rendez, provider, warning], provider};
                _ -> {[rendez, node, Kind], node}
            end,
            Numbers = [after_ms, attempts, retry_in_ms],
            Measurements = maps:with(Numbers, Info),
            %% A handler that fails is telemetry's business; telemetry itself being half gone, as in
            %% the shutdown of a release, must not take the cluster along.
            try telemetry:execute(Name, Measurements#{count => 1},
                                  (maps:without(Numbers, Info))#{cluster => Cluster, Key => Subject})
            catch _:_ -> ok
            end,
            ok;
        false ->
            ok
    end.

%% @doc Writes a line of the native side.
-spec line(logger:level(), map(), state()) -> ok.
line(Level, #{message := Message} = Info, State) ->
    Meta = case maps:remove(message, Info) of
        #{node := Name} = Rest -> Rest#{node := existing(Name)};
        Rest -> Rest
    end,
    write(Level, Message, Meta, State).

%% An atom if the name has one, a binary otherwise: no node of that name was ever connected.
existing(Name) ->
    try binary_to_existing_atom(Name)
    catch error:badarg -> Name
    end.

%% @doc A line of the cluster's own. What was said of that event a moment ago is not said again, but for those who
%% debug.
-spec log(logger:level(), atom(), string(), [term()], state()) -> state().
log(Level, Event, Format, Arguments, #events{told = Told} = State) ->
    Now = erlang:monotonic_time(millisecond),
    Text = unicode:characters_to_binary(io_lib:format(Format, Arguments)),
    case Told of
        #{Event := {Text, At}} when Now - At < ?AGAIN_MS ->
            ok = write(debug, Text, #{event => Event}, State),
            State;
        _ ->
            ok = write(Level, Text, #{event => Event}, State),
            State#events{told = Told#{Event => {Text, Now}}}
    end.

write(Level, Text, Meta, #events{cluster = Cluster}) ->
    %% The name says something only where there may be several.
    Whose = case Cluster of
        rendez -> "rendez";
        _ -> ["rendez ", rendez_config:show_module(Cluster)]
    end,
    ?LOG(Level, "~ts: ~ts", [Whose, Text], Meta#{application => rendez, cluster => Cluster}),
    ok.
