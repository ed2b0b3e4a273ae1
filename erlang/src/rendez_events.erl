%% @doc What the engine tells, for people and metrics: to subscribers, to the log, to telemetry.
%%
%% Telemetry events, where `telemetry' is loaded: `[rendez, node, joined | left | connect_failed |
%% discovered | withdrawn | refused]' and `[rendez, provider, failed | recovered | warning]', the last once
%% at the start. Each has the measurement `count' (1), and `after_ms', `attempts' and `retry_in_ms' where the event has them; the
%% metadata has `cluster', `node' or `provider', and the rest of the event.
%%
%% Log lines have the metadata `application' (`rendez') and `cluster'. They have no domain: OTP's default
%% handler drops every domain but its own, so that nobody would see them. No more than 50 lines come in
%% 10 seconds from one cluster; how many were left out is said in a line of its own.
-module(rendez_events).

-export([new/1, from_native/2, publish/3, log/4]).

-export_type([state/0]).

-include_lib("kernel/include/logger.hrl").

-define(WINDOW_MS, 10_000).
-define(MOST_LINES, 50).

-record(events, {cluster :: atom(),
                 window = 0 :: integer(),
                 lines = 0 :: non_neg_integer(),
                 reasons = #{} :: #{node() => {atom(), binary()}}}).

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

%% @doc Tells everyone.
-spec publish(rendez:event(), [pid()], state()) -> state().
publish(Event, Subscribers, #events{cluster = Cluster} = State) ->
    Message = {rendez, Cluster, Event},
    lists:foreach(fun(Pid) -> Pid ! Message end, Subscribers),
    telemetry(Cluster, Event),
    {Line, Next} = line(Event, State),
    case Line of
        none -> Next;
        {Level, Format, Arguments} -> log(Level, Format, Arguments, Next)
    end.

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

line({joined, Node, Info}, State) ->
    {case Info of
         #{after_ms := Ms} -> {info, "connected to ~ts, ~b ms after it was found", [Node, Ms]};
         _ -> {info, "connected to ~ts", [Node]}
     end, forget(Node, State)};
line({left, Node, #{reason := Reason}}, State) ->
    {{notice, "the connection to ~ts ended: ~ts", [Node, Reason]}, forget(Node, State)};
line({left, Node, _}, State) ->
    {{notice, "the connection to ~ts ended", [Node]}, forget(Node, State)};
line({connect_failed, Node, #{reason := Reason, message := Message} = Info}, State) ->
    #events{reasons = Reasons} = State,
    Again = case Info of
        #{retry_in_ms := Ms} -> io_lib:format("; the next attempt comes in ~.1f s", [Ms / 1000]);
        _ -> ""
    end,
    %% The same failure again is news to no one.
    Level = case Reasons of
        #{Node := {Reason, Message}} -> debug;
        _ -> warning
    end,
    Next = case Info of
        #{retry_in_ms := _} -> State#events{reasons = Reasons#{Node => {Reason, Message}}};
        _ -> forget(Node, State)
    end,
    {{Level, "cannot connect to ~ts: ~ts~ts", [Node, Message, Again]}, Next};
line({refused, Name, #{message := Message, provider := Provider}}, State) ->
    {{notice, "~ts, named by ~ts, is not connected to: ~ts", [Name, Provider, Message]}, State};
line({provider_failed, Provider, #{message := Message}}, State) ->
    {{warning, "the provider ~ts failed, what it said before stands: ~ts", [Provider, Message]}, State};
line({provider_warning, Provider, #{message := Message}}, State) ->
    {{warning, "the provider ~ts: ~ts", [Provider, Message]}, State};
line({provider_recovered, Provider, _}, State) ->
    {{notice, "the provider ~ts answers again", [Provider]}, State};
line({discovered, Name, #{provider := Provider}}, State) ->
    {{debug, "~ts was found by ~ts", [Name, Provider]}, State};
line({withdrawn, Name, #{provider := Provider}}, State) ->
    {{debug, "~ts is no longer named by ~ts", [Name, Provider]}, State};
line(_, State) ->
    {none, State}.

forget(Node, #events{reasons = Reasons} = State) ->
    State#events{reasons = maps:remove(Node, Reasons)}.

%% @doc A line for people, unless there were too many of late.
-spec log(logger:level(), string(), [term()], state()) -> state().
log(debug, Format, Arguments, State) ->
    write(debug, Format, Arguments, State);
log(Level, Format, Arguments, #events{window = Window, lines = Lines} = State) ->
    Now = erlang:monotonic_time(millisecond),
    if
        Lines =:= 0; Now - Window >= ?WINDOW_MS ->
            Fresh = case Lines > ?MOST_LINES of
                true -> write(notice, "~b lines were left out", [Lines - ?MOST_LINES], State);
                false -> State
            end,
            write(Level, Format, Arguments, Fresh#events{window = Now, lines = 1});
        Lines < ?MOST_LINES ->
            write(Level, Format, Arguments, State#events{lines = Lines + 1});
        true ->
            State#events{lines = Lines + 1}
    end.

write(Level, Format, Arguments, #events{cluster = Cluster} = State) ->
    ?LOG(Level, "rendez ~ts: " ++ Format, [rendez_config:show_module(Cluster) | Arguments],
         #{application => rendez, cluster => Cluster}),
    State.
