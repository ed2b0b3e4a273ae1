%% @doc Runs a provider that is a module: asks it every `interval' and tells the engine.
%%
%% The module's functions run in a process of their own for each lookup. One that crashes, hangs or
%% answers nonsense makes a failed observation with its cause and is asked again after a backoff; it
%% ends neither the poller nor the cluster. After a crash a module with `init/1' starts afresh.
%%
%% With `serves' the module is a process too: it is started (`start_link/0', else what `child_spec/1'
%% says, else `start_link/1') before the first lookup and again after it died.
-module(rendez_poller).
-behaviour(gen_server).

-export([start_link/2, refresh/1, stop/1, once/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% The longest wait after failures, unless the interval is longer.
-define(LONGEST_MS, 60_000).
-define(SHORTEST_MS, 1000).
-define(STOP_MS, 1000).

-record(state, {provider :: rendez_config:provider(),
                handle :: rendez_nif:handle(),
                timer :: reference() | undefined,
                lookup :: {pid(), reference(), reference()} | undefined,
                %% What gives the state of the module: a function, since the state may hold a secret, and this process's
                %% state gets into reports.
                inner = none :: none | fun(() -> term()),
                served :: pid() | undefined,
                failures = 0 :: non_neg_integer()}).

-spec start_link(rendez_config:provider(), rendez_nif:handle()) -> {ok, pid()}.
start_link(Provider, Handle) ->
    {ok, _} = gen_server:start_link(?MODULE, {Provider, Handle}, []).

%% @doc Looks now, whatever the pace.
-spec refresh(pid()) -> ok.
refresh(Pid) -> gen_server:cast(Pid, refresh).

%% @doc Stops the poller and what it serves.
-spec stop(pid()) -> ok.
stop(Pid) ->
    Monitor = monitor(process, Pid),
    unlink(Pid),
    exit(Pid, shutdown),
    receive {'DOWN', Monitor, process, Pid, _} -> ok
    after ?STOP_MS ->
        exit(Pid, kill),
        receive {'DOWN', Monitor, process, Pid, _} -> ok end
    end.

%% @doc One lookup in the calling process.
-spec once(rendez_config:provider()) -> {ok, [binary()]} | {error, Message :: binary()}.
once(#{module := Module, options := Options}) ->
    case lookup(Module, rendez_secret:open(Options), none) of
        {ok, Names, _} -> {ok, Names};
        {error, Message, _} -> {error, Message}
    end.

init({Provider, Handle}) ->
    process_flag(trap_exit, true),
    {ok, #state{provider = Provider, handle = Handle}, {continue, look}}.

-spec handle_continue(look, #state{}) -> {noreply, #state{}}.
handle_continue(look, State) ->
    {noreply, look(State)}.

handle_call(_Unknown, _From, State) ->
    {reply, {error, unknown_call}, State}.

handle_cast(refresh, State) ->
    {noreply, look(State)};
handle_cast(_Unknown, State) ->
    {noreply, State}.

handle_info(look, State) ->
    {noreply, look(State#state{timer = undefined})};
handle_info({late, Monitor}, #state{lookup = {Pid, Monitor, _}, provider = #{timeout := Timeout}} = State) ->
    demonitor(Monitor, [flush]),
    exit(Pid, kill),
    failed("no answer within ~b ms", [Timeout], State#state{lookup = undefined, inner = none});
handle_info({'DOWN', Monitor, process, Pid, Reason}, #state{lookup = {Pid, Monitor, Timer}} = State0) ->
    _ = erlang:cancel_timer(Timer),
    State = State0#state{lookup = undefined},
    case Reason of
        {done, {ok, Names, Inner}} -> answered(Names, State#state{inner = Inner});
        {done, {error, Message, Inner}} -> failed("~ts", [Message], State#state{inner = Inner});
        _ -> failed("the lookup ended with ~ts", [print(Reason, texts(State))], State#state{inner = none})
    end;
handle_info({'EXIT', Pid, Reason}, #state{served = Pid} = State) ->
    failed("its process ended: ~ts", [print(Reason, texts(State))], State#state{served = undefined});
handle_info({'EXIT', _, normal}, State) ->
    {noreply, State};
handle_info({'EXIT', _, Reason}, State) ->
    {stop, Reason, State};
handle_info(_Other, State) ->
    {noreply, State}.

terminate(_Reason, #state{lookup = Lookup, served = Served}) ->
    case Lookup of
        {Pid, _, _} -> exit(Pid, kill);
        undefined -> ok
    end,
    is_pid(Served) andalso stop(Served),
    ok.

%%% Looking

look(#state{lookup = {_, _, _}} = State) ->
    %% One is under way; its answer is as fresh as another's would be.
    State;
look(#state{provider = #{module := Module, options := Sealed, timeout := Timeout}} = State0) ->
    Options = rendez_secret:open(Sealed),
    case serve(Options, cancel(State0)) of
        {ok, #state{inner = Inner} = State} ->
            {Pid, Monitor} = spawn_monitor(fun() -> exit({done, lookup(Module, Options, Inner)}) end),
            Timer = erlang:send_after(Timeout, self(), {late, Monitor}),
            State#state{lookup = {Pid, Monitor, Timer}};
        {error, Message, State} ->
            {noreply, Next} = failed("~ts", [Message], State),
            Next
    end.

%% The options are in no message, nor what the module made of them in a reason to exit.
lookup(Module, Options, Inner) ->
    Texts = rendez_secret:texts(Options),
    Stateful = erlang:function_exported(Module, peers, 1),
    try
        case Stateful of
            true -> stateful(Module, Options, Inner, Texts);
            false -> poll(Module, Texts)
        end
    catch
        Class:Reason:Stack ->
            {error, text("~ts crashed: ~ts~ts", [show(Module), crash(Class, Reason, Texts), where(Stack)]), none}
    end.

poll(Module, Texts) ->
    case names(Module:poll(), Texts) of
        {ok, Names} -> {ok, Names, none};
        {error, What} -> {error, text("~ts:poll/0 ~ts", [show(Module), What]), none}
    end.

stateful(Module, Options, none, Texts) ->
    case Module:init(Options) of
        {ok, Inner} -> stateful(Module, Options, fun() -> Inner end, Texts);
        {error, Reason} -> {error, text("~ts:init/1 failed: ~ts", [show(Module), reason(Reason, Texts)]), none};
        Other -> {error, text("~ts:init/1 has to return {ok, State} or {error, Reason}; it returned ~ts",
                              [show(Module), print(Other, Texts)]), none}
    end;
stateful(Module, _Options, Inner, Texts) ->
    case Module:peers(Inner()) of
        {ok, Peers, Next} ->
            case names(Peers, Texts) of
                {ok, Names} -> {ok, Names, fun() -> Next end};
                {error, What} -> {error, text("~ts:peers/1 ~ts", [show(Module), What]), fun() -> Next end}
            end;
        {error, Reason, Next} ->
            {error, text("~ts:peers/1 failed: ~ts", [show(Module), reason(Reason, Texts)]), fun() -> Next end};
        Other ->
            {error, text("~ts:peers/1 has to return {ok, Peers, State} or {error, Reason, State}; it returned ~ts",
                         [show(Module), print(Other, Texts)]), none}
    end.

texts(#state{provider = #{options := Sealed}}) -> rendez_secret:texts(rendez_secret:open(Sealed)).

print(Term, Texts) -> io_lib:format("~0tP", [rendez_secret:redact(Term, Texts), 12]).

%% A module's error is often a sentence already.
reason(Reason, Texts) when is_binary(Reason) ->
    case unicode:characters_to_list(rendez_secret:redact(Reason, Texts)) of
        Text when is_list(Text) -> Text;
        _ -> print(Reason, Texts)
    end;
reason(Reason, Texts) ->
    case is_list(Reason) andalso Reason =/= [] andalso io_lib:printable_unicode_list(Reason) of
        true -> rendez_secret:redact(Reason, Texts);
        false -> print(Reason, Texts)
    end.

show(Module) -> rendez_config:show_module(Module).

%% An exception of Elixir's is a map in Erlang's eyes. Its message is for people.
crash(error, #{'__exception__' := true, '__struct__' := Struct} = Exception, Texts) ->
    try
        Message = apply(binary_to_atom(<<"Elixir.Exception">>), message, [Exception]),
        [show(Struct), ": ", rendez_secret:redact(Message, Texts)]
    catch
        _:_ -> show(Struct)
    end;
crash(Class, Reason, Texts) ->
    [atom_to_binary(Class), ":", print(Reason, Texts)].

%% Where it crashed, without the arguments: one of them may be a secret.
where([{Module, Function, Arguments, _} | _]) when is_list(Arguments) ->
    where([{Module, Function, length(Arguments), []}]);
where([{Module, Function, Arity, _} | _]) ->
    io_lib:format(" in ~ts:~ts/~b", [show(Module), Function, Arity]);
where(_) ->
    "".

names(Peers, Texts) when is_list(Peers) -> names(Peers, [], Texts);
names(Other, Texts) -> {error, text("has to return a list of node names; it returned ~ts", [print(Other, Texts)])}.

names([], Names, _) ->
    {ok, lists:reverse(Names)};
names([Peer | Rest], Names, Texts) when is_atom(Peer), Peer =/= nil, Peer =/= undefined ->
    names(Rest, [atom_to_binary(Peer) | Names], Texts);
names([Peer | Rest], Names, Texts) when is_binary(Peer) ->
    names(Rest, [Peer | Names], Texts);
names([Peer | Rest], Names, Texts) when is_list(Peer), Peer =/= [] ->
    try unicode:characters_to_binary(Peer) of
        Name when is_binary(Name) -> names(Rest, [Name | Names], Texts);
        _ -> not_a_name(Peer, Texts)
    catch
        error:_ -> not_a_name(Peer, Texts)
    end;
names([Peer | _], _, Texts) ->
    not_a_name(Peer, Texts);
names(_, _, _) ->
    {error, <<"has to return a list of node names; it returned an improper list">>}.

not_a_name(Peer, Texts) ->
    {error, text("has to return node names, which are atoms, binaries or strings; one is ~ts", [print(Peer, Texts)])}.

%%% What came of it

answered(Names, #state{provider = #{name := Name, interval := Interval}, handle = Handle} = State) ->
    case rendez_nif:observe(Handle, Name, {snapshot, Names}) of
        ok -> {noreply, again(Interval, State#state{failures = 0})};
        {error, Message} -> failed("~ts", [rendez_secret:redact(Message, texts(State))], State)
    end.

failed(Format, Arguments, #state{provider = #{name := Name, interval := Interval}, handle = Handle,
                                 failures = Failures} = State) ->
    %% A library that was replaced takes neither: the crash is the cluster's to see.
    _ = rendez_nif:observe(Handle, Name, {failed, text(Format, Arguments)}),
    Least = min(Interval, ?SHORTEST_MS),
    Most = max(Interval, ?LONGEST_MS),
    Wait = min(Most, Least bsl min(Failures, 20)),
    %% Several nodes that failed together should not come back together.
    {noreply, again(Wait div 2 + rand:uniform(Wait div 2 + 1), State#state{failures = Failures + 1})}.

again(Wait, State) ->
    (cancel(State))#state{timer = erlang:send_after(Wait, self(), look)}.

cancel(#state{timer = undefined} = State) ->
    State;
cancel(#state{timer = Timer} = State) ->
    _ = erlang:cancel_timer(Timer),
    %% It may have gone off already.
    receive look -> ok after 0 -> ok end,
    State#state{timer = undefined}.

%%% The module as a process

serve(_, #state{provider = #{serves := false}} = State) ->
    {ok, State};
serve(_, #state{served = Pid} = State) when is_pid(Pid) ->
    {ok, State};
serve(Options, #state{provider = #{module := Module}} = State) ->
    try start_served(Module, maps:to_list(Options)) of
        {ok, Pid} when is_pid(Pid) -> {ok, State#state{served = Pid}};
        {ok, Pid, _} when is_pid(Pid) -> {ok, State#state{served = Pid}};
        %% Someone else looks after it.
        {error, {already_started, _}} -> {ok, State};
        Other -> {error, text("~ts did not start: ~ts", [show(Module), print(Other, texts(State))]), State}
    catch
        Class:Reason:Stack ->
            {error, text("~ts did not start: ~ts~ts",
                         [show(Module), crash(Class, Reason, texts(State)), where(Stack)]), State}
    end.

start_served(Module, Options) ->
    case {erlang:function_exported(Module, start_link, 0), erlang:function_exported(Module, child_spec, 1)} of
        {true, _} ->
            Module:start_link();
        {false, true} ->
            {M, F, A} = case Module:child_spec(Options) of
                #{start := Start} -> Start;
                {_, Start, _, _, _, _} -> Start
            end,
            apply(M, F, A);
        {false, false} ->
            Module:start_link(Options)
    end.

text(Format, Arguments) ->
    unicode:characters_to_binary(io_lib:format(Format, Arguments)).
