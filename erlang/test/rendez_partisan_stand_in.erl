%% @doc Stands in for partisan's `partisan_peer_service': keeps who was joined and records every call. Any
%% number of them run side by side, each a registered process.
-module(rendez_partisan_stand_in).

-export([start/1, join/2, leave/2, members/1, calls/1, lose/2, refuse/2]).

start(Name) ->
    Self = self(),
    Pid = spawn(fun() ->
        true = register(Name, self()),
        Self ! {self(), started},
        loop(#{members => [], refused => [], calls => []})
    end),
    receive {Pid, started} -> ok end.

%% What a `rendez_dist' calls.
join(Name, Spec) -> ask(Name, {join, Spec}).
leave(Name, Node) -> ask(Name, {leave, Node}).
members(Name) -> ask(Name, members).

%% What a test calls: the joins and leaves so far, a member that goes by itself, one that cannot be joined.
calls(Name) -> ask(Name, calls).
lose(Name, Node) -> ask(Name, {lose, Node}).
refuse(Name, Node) -> ask(Name, {refuse, Node}).

ask(Name, What) ->
    Monitor = monitor(process, Name),
    Name ! {What, self(), Monitor},
    receive
        {Monitor, Answer} -> demonitor(Monitor, [flush]), Answer;
        {'DOWN', Monitor, _, _, Reason} -> error(Reason)
    end.

loop(State) ->
    receive
        {What, From, Tag} ->
            {Answer, Next} = handle(What, State),
            From ! {Tag, Answer},
            loop(Next)
    end.

handle({join, #{name := Node}} = Call, #{members := Members, refused := Refused} = State) ->
    case lists:member(Node, Refused) of
        true -> {{error, not_yet_connected}, record(Call, State)};
        false -> {ok, record(Call, State#{members => lists:usort([Node | Members])})}
    end;
handle({leave, Node} = Call, #{members := Members} = State) ->
    {ok, record(Call, State#{members => Members -- [Node]})};
handle({lose, Node}, #{members := Members} = State) ->
    {ok, State#{members => Members -- [Node]}};
handle({refuse, Node}, #{refused := Refused} = State) ->
    {ok, State#{refused => [Node | Refused]}};
handle(members, #{members := Members} = State) ->
    {{ok, Members}, State};
handle(calls, #{calls := Calls} = State) ->
    {lists:reverse(Calls), State}.

record(Call, #{calls := Calls} = State) -> State#{calls => [Call | Calls]}.
