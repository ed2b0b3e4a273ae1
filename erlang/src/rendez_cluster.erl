%% @doc One cluster: carries out what the engine decides, and tells it what became of it.
%%
%% The engine and its providers run in the native library. This process gets their messages, has
%% connections made in processes of their own, follows which nodes are up, runs the providers that are
%% modules ({@link rendez_poller}), and passes on the events ({@link rendez_events}).
%%
%% A node that is not alive has no peers: the cluster says so once and begins when the node becomes
%% alive. A node that goes on under another name, as after `net_kernel:stop/0' and `net_kernel:start/2',
%% is another node to its peers: the cluster takes leave in the old name and begins again in the new one.
-module(rendez_cluster).
-behaviour(gen_server).

-include_lib("kernel/include/logger.hrl").

-export([start_link/1, resolve/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% How often to look whether the node became alive, and whether it still has the name that it had.
-define(ALIVE_MS, 1000).
%% An attempt to connect that takes longer is given up. OTP's own ends after net_setuptime, 7 s unless set.
-define(CONNECT_MS, 150_000).
%% How long the goodbyes may take.
-define(GOODBYE_MS, 1000).
-define(RESOLVE_MS, 5000).
%% The first and the longest wait before another try to begin.
-define(BEGIN_MS, {1000, 60_000}).
%% How long it is not found out again that a node has another cookie: it writes an error each time.
-define(COOKIE_MS, 300_000).
%% How long it is remembered that a connection to a node was lost.
-define(LOST_MS, 3_600_000).
%% How long a node that was asked to leave, and did not, is left alone before it is asked again.
-define(REMOVE_MS, 5000).
%% How many nodes that were removed are remembered. One that was forgotten and comes back by itself stays connected.
-define(REMOVED, 1024).
%% How long a poller that should not have died stays dead.
-define(POLLER_MS, 1000).

-record(native, {handle :: rendez_nif:handle(), tag :: rendez_nif:tag()}).

-record(state, {config :: rendez_config:cluster(),
                events :: rendez_events:state(),
                begin_wait = element(1, ?BEGIN_MS) :: pos_integer(),
                native :: #native{} | undefined,
                %% Who was told of a goodbye. Another one when this node is back: all nodes are tried then, and
                %% those that said goodbye are not meant.
                session = make_ref() :: reference(),
                %% The name that the native side was started with.
                own = node() :: node(),
                net_kernel :: reference() | undefined,
                %% Gives the state of the distribution. A function, since the state may hold a secret, and this process's
                %% state gets into reports.
                dist :: fun(() -> term()) | undefined,
                workers = #{} :: #{reference() => {connect | disconnect, node(), binary(), pid()}},
                pollers = #{} :: #{pid() => rendez_config:provider()},
                subscribers = #{} :: #{pid() => reference()},
                up = #{} :: #{node() => visible | hidden},
                %% The nodes that no provider names any longer and `on_removed' has ended, or would.
                removed = #{} :: #{binary() => {node(), left | gone | undefined | {done, term()}}},
                %% Nodes of `removed' that must be asked again when the current request ends: their naming has changed since.
                again = #{} :: #{binary() => true},
                %% The nodes whose connection ended, and when.
                lost = #{} :: #{node() => Lost :: integer()},
                %% The nodes that had another cookie at the last attempt, and when that was found out.
                cookies = #{} :: #{node() => {Message :: binary(), Found :: integer()}},
                %% The nodes of which the subscribers heard that they joined, and not that they left.
                told = #{} :: #{binary() => true},
                asked = #{} :: #{reference() => {status | peers, gen_server:from()}}}).

%% `ignore' where the options say that there is to be no cluster.
-spec start_link(rendez:options()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Options) ->
    case rendez_config:cluster(Options) of
        {ok, #{name := Name, native := Native} = Config} ->
            case library(check, [rendez_secret:open(Native)]) of
                ok -> started(gen_server:start_link({local, Name}, ?MODULE, Config, []));
                {off, Why} ->
                    ?LOG_INFO("the cluster ~ts does not start: ~ts", [Name, Why],
                              #{application => rendez, cluster => Name, event => not_started}),
                    ignore;
                {error, Message} -> {error, {invalid_options, Message}}
            end;
        {error, Message} ->
            {error, {invalid_options, Message}}
    end.

%% The gen_server stops with `shutdown' so that no crash report hides the sentence in it.
started({error, {shutdown, Reason}}) -> {error, Reason};
started(ignore) -> {error, ignore};
started(Other) -> Other.

%% @doc See {@link rendez:resolve/1}. Looks in a process of its own, so that an answer that comes too
%% late is no stray message to the caller.
-spec resolve(rendez:options()) -> {ok, [binary()]} | {error, Message :: binary()}.
resolve(Options) ->
    case rendez_config:resolve(Options, ?RESOLVE_MS) of
        {ok, Config, Timeout} ->
            %% What ends by an error is logged with the arguments of the function that failed, which are options.
            {Pid, Monitor} = spawn_monitor(fun() ->
                exit(try {resolved, look(Config, Timeout)}
                     catch Class:_:Stack -> {crashed, Class, rendez_secret:without_arguments(Stack)}
                     end)
            end),
            receive
                {'DOWN', Monitor, process, Pid, {resolved, Answer}} -> Answer;
                {'DOWN', Monitor, process, Pid, Reason} ->
                    {error, unicode:characters_to_binary(io_lib:format("the look-up crashed: ~0tP", [Reason, 12]))}
            end;
        {error, Message} ->
            {error, Message}
    end.

look(#{native := Sealed, providers := Providers}, Timeout) ->
    Native = rendez_secret:open(Sealed),
    Polled = [rendez_poller:once(Provider) || Provider <- Providers],
    Looked = case Native of
        #{via := Via} ->
            case [Entry || Entry <- Via, element(1, to_pair(Entry)) =/= external] of
                [] -> [];
                Entries -> [look_native(Native#{via => Entries}, Timeout)]
            end;
        _ ->
            [look_native(Native, Timeout)]
    end,
    Answers = Polled ++ Looked,
    case [Message || {error, Message} <- Answers] of
        [] -> {ok, lists:usort(lists:append([Names || {ok, Names} <- Answers]))};
        [Message | _] -> {error, Message}
    end.

to_pair(Entry) when is_tuple(Entry) -> Entry;
to_pair(Entry) -> {Entry, []}.

look_native(Native, Timeout) ->
    case library(resolve, [self(), identity(Native), Timeout]) of
        {ok, Tag} -> receive {rendez, Tag, {resolved, Answer}} -> Answer end;
        {error, Message} ->
            {error, Message}
    end.

identity(Native) ->
    case is_alive() of
        true -> Native#{node => atom_to_binary(node()), cookie => atom_to_binary(erlang:get_cookie())};
        false -> Native
    end.

%% Calls the native library with opened options. An error would have them in its stack trace.
library(Function, Arguments) ->
    try apply(rendez_nif, Function, Arguments)
    catch
        error:Reason ->
            {error, unicode:characters_to_binary(io_lib:format("the native library cannot be called: ~0tP", [Reason, 12]))}
    end.

%%% gen_server

init(#{name := Name} = Config) ->
    %% Pollers are linked; their end is news, not the end. And terminate/2 says goodbye.
    process_flag(trap_exit, true),
    State = #state{config = Config, events = rendez_events:new(Name)},
    #{refresh := RefreshMs} = Config,
    _ = erlang:send_after(RefreshMs, self(), members),
    _ = erlang:send_after(?ALIVE_MS, self(), look_alive),
    case is_alive() of
        true ->
            case start(State) of
                {ok, Started} -> {ok, Started};
                {error, Message} -> {stop, {shutdown, {start_failed, Message}}}
            end;
        false ->
            {ok, log(not_alive_level(Config), node_not_alive,
                     "this node is not alive, so it has no peers: start it with -name or -sname "
                     "(iex --name, RELEASE_DISTRIBUTION=name). Clustering begins when it becomes alive", [], State)}
    end.

%% A missing name matters only if the cluster looks for peers, and not in the tests of a project.
not_alive_level(#{native := #{via := Via}}) ->
    OnlySelf = lists:all(fun(Entry) -> element(1, to_pair(Entry)) =:= self end, Via),
    case OnlySelf orelse is_mix_test() of
        true -> debug;
        false -> warning
    end;
not_alive_level(_) ->
    warning.

is_mix_test() ->
    try 'Elixir.Mix':env() =:= test
    catch _:_ -> false
    end.

handle_call({subscribe, Pid}, _From, #state{subscribers = Subscribers} = State) ->
    case Subscribers of
        #{Pid := _} -> {reply, ok, State};
        _ -> {reply, ok, State#state{subscribers = Subscribers#{Pid => monitor(process, Pid)}}}
    end;
handle_call({unsubscribe, Pid}, _From, State) ->
    {reply, ok, unsubscribe(Pid, State)};
handle_call(refresh, _From, #state{native = undefined} = State) ->
    case rendez_leave:rejoin() andalso is_alive() of
        true -> {reply, ok, begin_again(State)};
        false -> {reply, ok, State}
    end;
handle_call(leave, _From, #state{native = undefined} = State) ->
    {reply, ok, State};
handle_call(leave, _From, #state{told = Told} = State) ->
    %% The goodbyes of the providers go first: no node is to learn of this one again meanwhile.
    Stopped = stop(cut_off(State)),
    ok = rendez_leave:goodbye([Node || Node <- nodes(hidden), is_map_key(atom_to_binary(Node), Told)]),
    {reply, ok, log(notice, node_left, "this node has left the cluster", [], Stopped#state{told = #{}})};
handle_call(refresh, _From, #state{pollers = Pollers} = State) ->
    _ = rendez_leave:rejoin(),
    lists:foreach(fun rendez_poller:refresh/1, maps:keys(Pollers)),
    {reply, ok, native(fun rendez_nif:refresh/1, State)};
handle_call(peers, _From, #state{native = undefined} = State) ->
    {reply, [], State};
handle_call(status, _From, #state{native = undefined} = State) ->
    {reply, status(#{nodes => [], providers => []}, State), State};
handle_call(What, From, State) when What =:= status; What =:= peers ->
    {noreply, ask(What, From, State)};
handle_call(_Unknown, _From, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(_Unknown, State) ->
    {noreply, State}.

handle_info({rendez, Tag, Message}, #state{native = #native{tag = Tag}} = State) ->
    from_native(Message, State);
handle_info({rendez, _EarlierTag, _}, State) ->
    {noreply, State};
handle_info({'DOWN', Monitor, process, _, _}, #state{net_kernel = Monitor} = State) ->
    {noreply, look_alive(State#state{net_kernel = undefined})};
handle_info({'DOWN', Monitor, process, Pid, Reason}, #state{workers = Workers} = State) ->
    case maps:take(Monitor, Workers) of
        {{What, Node, Name, Pid}, Rest} ->
            {noreply, worked(What, Node, Name, Reason, State#state{workers = Rest})};
        error ->
            {noreply, unsubscribe(Pid, State)}
    end;
handle_info({remove, Name}, #state{removed = Removed, up = Up, native = #native{}} = State) ->
    case Removed of
        #{Name := {Node, _}} when is_map_key(Node, Up) -> {noreply, remove(Node, Name, State)};
        _ -> {noreply, State}
    end;
handle_info({nodeup, Node, _}, #state{native = undefined} = State) ->
    %% Who connects to a node that left wants it back.
    case lists:member(Node, nodes()) andalso is_alive() andalso rendez_leave:rejoin() of
        true -> {noreply, begin_again(State)};
        false -> {noreply, State}
    end;
handle_info({overdue, Monitor}, #state{workers = Workers} = State) ->
    case Workers of
        #{Monitor := {_, _, _, Pid}} -> exit(Pid, kill);
        _ -> ok
    end,
    {noreply, State};
handle_info(look_alive, State) ->
    _ = erlang:send_after(?ALIVE_MS, self(), look_alive),
    {noreply, look_alive(State)};
handle_info(members, #state{config = #{refresh := RefreshMs}} = State) ->
    _ = erlang:send_after(RefreshMs, self(), members),
    {noreply, compare(State)};
handle_info(begin_again, State) ->
    case is_alive() of
        true -> {noreply, begin_again(State)};
        false -> {noreply, State}
    end;
handle_info({poller, Provider}, #state{native = #native{}} = State) ->
    {noreply, start_poller(Provider, State)};
handle_info({'EXIT', Pid, Reason}, #state{pollers = Pollers} = State) ->
    case maps:take(Pid, Pollers) of
        {Provider, Rest} ->
            _ = erlang:send_after(?POLLER_MS, self(), {poller, Provider}),
            {noreply, State#state{pollers = Rest}};
        error when Reason =:= normal ->
            {noreply, State};
        error ->
            {stop, Reason, State}
    end;
handle_info(Message, #state{config = #{dist := {Module, DistOptions}}, dist = Dist, native = #native{}} = State) ->
    Handled = erlang:function_exported(Module, handle_info, 2) andalso
        guarded(DistOptions, fun() -> Module:handle_info(Message, Dist()) end),
    case Handled of
        {crashed, What} ->
            {noreply, log(warning, dist_failed, "~ts:handle_info/2 crashed: ~ts", [Module, What], State)};
        {up, Node} when is_atom(Node) -> {noreply, up(Node, visible, State)};
        {up, Node, hidden} when is_atom(Node) -> {noreply, up(Node, hidden, State)};
        {down, Node} -> {noreply, down(Node, undefined, State)};
        {down, Node, Reason} -> {noreply, down(Node, Reason, State)};
        _ -> {noreply, State}
    end;
handle_info(_Message, State) ->
    {noreply, State}.

terminate(_Reason, State) ->
    _ = stop(State),
    ok.

%%% Start and stop of the native side

start(#state{config = #{native := Options, dist := {Module, DistOptions}, providers := Providers}} = State0) ->
    case library(start, [self(), identity(rendez_secret:open(Options))]) of
        {ok, Handle, Tag} ->
            State = watch_net_kernel(State0#state{native = #native{handle = Handle, tag = Tag}, own = node(),
                                                  session = make_ref()}),
            case guarded(DistOptions, fun() -> Module:init(rendez_secret:open(DistOptions)) end) of
                {ok, Dist} ->
                    {ok, lists:foldl(fun start_poller/2, compare(State#state{dist = fun() -> Dist end}), Providers)};
                {crashed, What} ->
                    _ = stop(State),
                    {error, unicode:characters_to_binary(io_lib:format("~ts:init/1 crashed: ~ts", [Module, What]))};
                {error, Reason} ->
                    _ = stop(State),
                    {error, unicode:characters_to_binary(
                                io_lib:format("~ts:init/1 failed: ~ts", [Module, reason(Reason, DistOptions)]))}
            end;
        {error, Message} ->
            {error, Message}
    end.

%% What cannot begin now may later; a supervisor that gives up over it would take the application along.
begin_again(State0) ->
    #state{begin_wait = Wait} = State = (stop(State0))#state{own = node()},
    case start(State) of
        {ok, Started} ->
            Started#state{begin_wait = element(1, ?BEGIN_MS)};
        {error, Message} ->
            _ = erlang:send_after(Wait, self(), begin_again),
            log(error, start_failed, "cannot begin, the next try comes in ~b s: ~ts", [Wait div 1000, Message],
                State#state{begin_wait = min(2 * Wait, element(2, ?BEGIN_MS))})
    end.

%% Begins, or begins again, where the name of the node says so.
look_alive(#state{own = Own} = State) ->
    case {is_alive(), node()} of
        {true, Own} ->
            watch_net_kernel(State);
        {true, Name} when Own =:= nonode@nohost ->
            begin_again(log(notice, node_alive, "this node is alive now, as ~ts", [Name], State));
        {true, Name} ->
            begin_again(cut_off(log(notice, node_renamed,
                                    "node renamed to ~ts: leaving the cluster as ~ts and joining again",
                                    [Name, Own], State)));
        {false, _} when Own =:= nonode@nohost ->
            State;
        {false, _} ->
            Left = stop(cut_off(log(warning, node_not_alive,
                                    "this node is no longer alive: it leaves the cluster as ~ts. Clustering begins again when "
                                    "it is alive again", [Own], State))),
            Left#state{own = nonode@nohost}
    end.

%% The connections ended with the name; the native side ends before it could tell.
cut_off(#state{told = Told} = State) ->
    lists:foldl(fun(Name, Before) -> event(left, #{node => Name}, Before) end, State, maps:keys(Told)).

%% Its end is the end of the name, and known sooner by a monitor than by looking.
watch_net_kernel(#state{net_kernel = undefined} = State) ->
    State#state{net_kernel = monitor(process, net_kernel)};
watch_net_kernel(State) ->
    State.

stop(#state{native = undefined} = State) ->
    State;
stop(#state{native = #native{handle = Handle, tag = Tag}, pollers = Pollers, asked = Asked,
            workers = Workers} = State) ->
    lists:foreach(fun rendez_poller:stop/1, maps:keys(Pollers)),
    %% What they come to is nothing to the one that begins next.
    maps:foreach(fun(Monitor, {_, _, _, Pid}) -> demonitor(Monitor, [flush]), exit(Pid, kill) end, Workers),
    try rendez_nif:stop(Handle) of
        ok ->
            %% The goodbyes are sent by threads of the library: a BEAM that ends takes them along.
            receive {rendez, Tag, stopped} -> ok after ?GOODBYE_MS -> ok end
    catch
        error:_ -> ok
    end,
    Without = State#state{native = undefined, pollers = #{}, asked = #{}, up = #{}, workers = #{}, again = #{}},
    lists:foreach(fun({What, From}) -> gen_server:reply(From, answer(What, #{nodes => [], providers => []}, Without)) end,
                  maps:values(Asked)),
    Without.

%% A call that the library does not take: it was purged or replaced while we ran. The cluster begins
%% again with the one that is there now.
native(_, #state{native = undefined} = State) ->
    State;
native(Call, #state{native = #native{handle = Handle}} = State) ->
    try Call(Handle) of
        ok -> State;
        {error, Message} -> log(warning, native_refused, "the native library refused: ~ts", [Message], State)
    catch
        error:Reason when Reason =:= badarg; Reason =:= undef;
                          Reason =:= {nif_not_loaded, rendez_nif} ->
            self() ! begin_again,
            log(notice, native_replaced, "the native library was replaced; the cluster begins again", [], State)
    end.

report(Report, State) ->
    native(fun(Handle) -> rendez_nif:report(Handle, Report) end, State).

%%% What the native side says

from_native({connect, Name}, State) ->
    %% The one place where a name from the network becomes an atom: it is valid, authenticated,
    %% accepted, and about to be connected to.
    Node = binary_to_atom(Name),
    {noreply, work({connect, last(Node, #{}, State)}, Node, Name, State)};
from_native({connect, Name, Info}, State) ->
    Node = binary_to_atom(Name),
    {noreply, work({connect, last(Node, Info, State)}, Node, Name, State)};
from_native({disconnect, Name}, State) ->
    try binary_to_existing_atom(Name) of
        Node -> {noreply, remove(Node, Name, removing(Name, Node, undefined, State))}
    catch
        error:badarg -> {noreply, State}
    end;
from_native({event, Kind, Info}, State) ->
    {noreply, event(Kind, Info, State)};
from_native({log, Level, Line}, #state{events = Events} = State) ->
    ok = rendez_events:line(Level, Line, Events),
    {noreply, State};
from_native({status, Tag, Map}, #state{asked = Asked} = State) ->
    case maps:take(Tag, Asked) of
        {{What, From}, Rest} ->
            gen_server:reply(From, answer(What, Map, State)),
            {noreply, State#state{asked = Rest}};
        error ->
            {noreply, State}
    end;
from_native(stopped, State) ->
    {stop, {native_stopped, <<"the native side ended by itself">>}, State#state{native = undefined}};
from_native({stopped, Message}, State) ->
    {stop, {native_stopped, Message}, State#state{native = undefined}};
from_native(_Newer, State) ->
    {noreply, State}.

event(Kind, Info, #state{subscribers = Subscribers, events = Events, told = Told} = State) ->
    case rendez_events:from_native(Kind, Info) of
        {ok, Event} ->
            ok = rendez_events:publish(Event, maps:keys(Subscribers), Events),
            State#state{told = told(Kind, Info, Told)};
        error ->
            State
    end.

told(joined, #{node := Name}, Told) -> Told#{Name => true};
told(left, #{node := Name}, Told) -> maps:remove(Name, Told);
told(_, _, Told) -> Told.

ask(What, From, #state{asked = Asked} = State) ->
    Tag = make_ref(),
    native(fun(Handle) -> rendez_nif:status(Handle, Tag) end,
           State#state{asked = Asked#{Tag => {What, From}}}).

answer(status, Map, State) ->
    status(Map, State);
answer(peers, #{nodes := Nodes}, #state{up = Up}) ->
    %% A node that is up and that nobody names is in the status too, so that it is not named in vain.
    Named = maps:from_list([{Name, true} || #{node := Name, named_by := [_ | _]} <- Nodes]),
    [Node || Node <- maps:keys(Up), is_map_key(atom_to_binary(Node), Named)].

status(#{nodes := Nodes} = Map, #state{config = #{name := Name, dist := {Module, _}}, workers = Workers, up = Up,
                                       removed = Removed}) ->
    %% A hidden node that no provider names is not a peer, and not among the nodes.
    Shown = maps:from_list([{Shown, true} || #{node := Shown} <- Nodes]),
    Connected = [Node || {Node, Type} <- maps:to_list(Up),
                         Type =:= visible orelse is_map_key(atom_to_binary(Node), Shown)],
    Map#{cluster => Name,
         node => node(),
         alive => is_alive(),
         dist => Module,
         connected => lists:sort(Connected),
         left => rendez_leave:has_left(),
         removed => [Gone || {Gone, {Node, _}} <- maps:to_list(Removed), not is_map_key(Node, Up)],
         removing => maps:from_list([{Still, unicode:characters_to_binary(why(Result))}
                                     || {Still, {Node, {done, _} = Result}} <- maps:to_list(Removed),
                                        is_map_key(Node, Up)]),
         connecting => [Node || {connect, Node, _, _} <- maps:values(Workers)]}.

%%% Connections

work(Task, Node, Name, #state{config = #{dist := {Module, Options}}, dist = Dist, workers = Workers,
                              session = Session} = State) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({done, worker(Task, Module, Node, Dist, Options, Session)}) end),
    _ = erlang:send_after(?CONNECT_MS, self(), {overdue, Monitor}),
    What = case Task of
        {connect, _Info} -> connect;
        {disconnect, _Cluster} -> disconnect
    end,
    State#state{workers = Workers#{Monitor => {What, Node, Name, Pid}}}.

worker(Task, Module, Node, Dist, Options, Session) ->
    try
        case is_disconnect(Task) orelse rendez_leave:may_connect(Node, Session) of
            {error, _} = Left ->
                Left;
            _ ->
                {Function, Arguments} = call(Task, Module, Node, Dist()),
                rendez_secret:redact(apply(Module, Function, Arguments), secrets(Options))
        end
    catch
        Class:Reason ->
            {error, {failed, unicode:characters_to_binary(
                                 io_lib:format("~ts crashed while it was to ~0tP: ~ts:~ts",
                                               [Module, Task, 5, Class, reason(Reason, Options)]))}}
    end.

is_disconnect({disconnect, _}) -> true;
is_disconnect(_) -> false.

%% Most distributions have no use for what is known besides the name.
call({connect, Info}, Module, Node, Dist) when map_size(Info) > 0 ->
    case erlang:function_exported(Module, connect, 3) of
        true -> {connect, [Node, Info, Dist]};
        false -> {connect, [Node, Dist]}
    end;
call({connect, _}, _Module, Node, Dist) ->
    {connect, [Node, Dist]};
call({disconnect, Cluster}, Module, Node, Dist) ->
    case erlang:function_exported(Module, disconnect, 3) of
        true -> {disconnect, [Node, #{peers => rendez:peers(Cluster)}, Dist]};
        false -> {disconnect, [Node, Dist]}
    end.

worked(disconnect, Node, Name, Result, #state{again = Again} = State) ->
    case maps:take(Name, Again) of
        {true, Rest} when Result =/= {done, left} -> remove(Node, Name, State#state{again = Rest});
        {true, Rest} -> removal(Node, Name, Result, State#state{again = Rest});
        error -> removal(Node, Name, Result, State)
    end;
worked(connect, Node, Name, Result, State) ->
    connected(Name, Node, Result, remember(Node, Result, State)).

connected(Name, Node, {done, ok}, #state{up = Up} = State) ->
    report({connected, Name}, State#state{up = maps:merge(#{Node => visible}, Up)});
connected(Name, _, {done, {error, {Reason, Message}}}, State) ->
    report({failed, Name, Reason, Message}, State);
connected(Name, _, killed, State) ->
    report({failed, Name, timeout, <<"the attempt to connect took too long and was given up">>}, State);
connected(Name, _, Other, State) ->
    Message = io_lib:format("the attempt to connect ended with ~0tP", [Other, 12]),
    report({failed, Name, failed, unicode:characters_to_binary(Message)}, State).

%% A wrong cookie is proven once in a while, and believed meanwhile.
remember(Node, {done, {error, {cookie, Message}}}, #state{cookies = Cookies} = State) ->
    Now = erlang:monotonic_time(millisecond),
    case Cookies of
        #{Node := {Message, Found}} when Now - Found < ?COOKIE_MS -> State;
        _ -> State#state{cookies = Cookies#{Node => {Message, Now}}}
    end;
remember(Node, _, #state{cookies = Cookies} = State) ->
    State#state{cookies = maps:remove(Node, Cookies)}.

last(Node, Info, #state{config = #{dist := {rendez_dist_otp, _}}, cookies = Cookies, lost = Lost}) ->
    Now = erlang:monotonic_time(millisecond),
    Known = case Cookies of
        #{Node := {Message, Found}} when Now - Found < ?COOKIE_MS -> Info#{last => {cookie, Message}};
        _ -> Info
    end,
    case Lost of
        #{Node := _} -> Known#{lost => true};
        _ -> Known
    end;
last(_Node, Info, _State) ->
    %% No other distribution knows the key.
    Info.

%% A node that is given its name by another one (`-name undefined') hears of itself as of any node that comes.
up(Node, _Type, State) when Node =:= node() ->
    State;
up(Node, Type, #state{up = Up, lost = Lost, removed = Removed} = State) ->
    Kind = case Type of
        visible -> up;
        hidden -> up_hidden
    end,
    Name = atom_to_binary(Node),
    _ = case Removed of
        #{Name := _} -> self() ! {remove, Name};
        _ -> ok
    end,
    Reported = report({Kind, Name}, State#state{up = Up#{Node => Type}, lost = maps:remove(Node, Lost)}),
    case Type =:= visible andalso rendez_leave:is_up(Node) of
        %% The nodes that were not connected to meanwhile are.
        true ->
            native(fun rendez_nif:refresh/1,
                   log(notice, node_returned, "this node is back in the cluster", [], Reported#state{session = make_ref()}));
        false -> Reported
    end.

%%% Removed nodes

%% One at a time for each node: an outcome that is overtaken would undo what came after it.
remove(Node, Name, #state{workers = Workers, again = Again} = State) ->
    case [Pid || {disconnect, _, Its, Pid} <- maps:values(Workers), Its =:= Name] of
        [] -> work({disconnect, self()}, Node, Name, State);
        _ -> State#state{again = Again#{Name => true}}
    end.

removing(Name, Node, How, #state{removed = Removed} = State) ->
    Others = case map_size(Removed) >= ?REMOVED andalso not is_map_key(Name, Removed) of
        true -> maps:remove(hd(maps:keys(Removed)), Removed);
        false -> Removed
    end,
    State#state{removed = Others#{Name => {Node, How}}}.

removal(Node, Name, {done, left}, State) ->
    log(notice, removed, "~ts has left: no provider names it any longer", [Name], removing(Name, Node, left, State));
removal(_Node, Name, {done, named}, #state{removed = Removed} = State) ->
    State#state{removed = maps:remove(Name, Removed)};
removal(Node, Name, {done, gone}, State) ->
    removing(Name, Node, gone, State);
removal(Node, Name, {done, ok}, State) ->
    %% A distribution that only disconnects.
    removing(Name, Node, left, State);
removal(Node, Name, Result, #state{removed = Removed} = State) ->
    _ = erlang:send_after(?REMOVE_MS, self(), {remove, Name}),
    case Removed of
        #{Name := {_, Result}} -> State;
        _ -> log(notice, removal_waits, "~ts stays connected for now, though no provider names it: ~ts", [Name, why(Result)],
                 removing(Name, Node, Result, State))
    end.

why({done, {wanted_by, Nodes}}) ->
    io_lib:format("to cut it off alone would harm the nodes that stay, and ~0tP did not remove it (yet): their sources "
                  "name it, or their on_removed is keep", [Nodes, 12]);
why({done, {error, Message}}) when is_binary(Message) -> Message;
why(Other) -> io_lib:format("~0tP", [Other, 12]).

down(Node, Reason, #state{up = Up, lost = Lost} = State) ->
    case maps:take(Node, Up) of
        {_, Rest} ->
            Now = erlang:monotonic_time(millisecond),
            Recent = maps:filter(fun(_, Since) -> Now - Since < ?LOST_MS end, Lost),
            report(down_report(atom_to_binary(Node), Reason), State#state{up = Rest, lost = Recent#{Node => Now}});
        error -> State
    end.

down_report(Name, undefined) -> {down, Name};
down_report(Name, Reason) -> {down, Name, unicode:characters_to_binary(io_lib:format("~0tP", [Reason, 12]))}.

%% Puts right what no notice told, which for a distribution without handle_info/2 is everything.
compare(#state{native = undefined} = State) ->
    State;
compare(#state{config = #{dist := {Module, Options}}, dist = Dist, up = Up} = State) ->
    case guarded(Options, fun() -> Module:members(Dist()) end) of
        Listed when is_list(Listed) ->
            Members = maps:from_list([member(Entry) || Entry <- Listed, is_member(Entry)]),
            Lost = maps:fold(fun(Node, _, Before) -> down(Node, undefined, Before) end, State,
                             maps:without(maps:keys(Members), Up)),
            maps:fold(fun up/3, Lost, maps:without(maps:keys(Up), Members));
        %% Not knowing who is connected is no reason to take everyone for lost.
        {crashed, What} ->
            log(warning, members_failed, "~ts:members/1 crashed: ~ts", [Module, What], State);
        Other ->
            log(warning, members_failed, "~ts:members/1 has to return a list; it returned ~ts",
                [Module, reason(Other, Options)], State)
    end.

%% Runs a function of the user's distribution. Its options are in no error of it.
guarded(Options, Fun) ->
    try Fun()
    catch Class:Reason -> {crashed, io_lib:format("~ts:~ts", [Class, reason(Reason, Options)])}
    end.

reason(Reason, Options) ->
    io_lib:format("~0tP", [rendez_secret:redact(Reason, secrets(Options)), 12]).

secrets(Options) -> rendez_secret:texts(rendez_secret:open(Options)).

is_member({hidden, Node}) -> is_atom(Node);
is_member(Node) -> is_atom(Node).

member({hidden, Node}) -> {Node, hidden};
member(Node) -> {Node, visible}.

%%% Pollers

start_poller(Provider, #state{native = #native{handle = Handle}, pollers = Pollers} = State) ->
    {ok, Pid} = rendez_poller:start_link(Provider, Handle),
    State#state{pollers = Pollers#{Pid => Provider}}.

%%% Small things

unsubscribe(Pid, #state{subscribers = Subscribers} = State) ->
    case maps:take(Pid, Subscribers) of
        {Monitor, Rest} ->
            demonitor(Monitor, [flush]),
            State#state{subscribers = Rest};
        error ->
            State
    end.

log(Level, Event, Format, Arguments, #state{events = Events} = State) ->
    State#state{events = rendez_events:log(Level, Event, Format, Arguments, Events)}.
