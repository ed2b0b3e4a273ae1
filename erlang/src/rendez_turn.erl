%% @doc Turns: of several processes only as many go on at a time as there are names.
%%
%% Who holds a turn is a registered process, so that it ends with its owner however that ends, and nothing has
%% to be started before.
-module(rendez_turn).

-export([take/1, give_back/1, run/2]).

-export_type([turn/0]).

-opaque turn() :: {pid(), reference()}.

%% @doc Runs the function when one of the names is free. Without names it runs at once.
-spec run([atom()], fun(() -> Result)) -> Result.
run([], Fun) ->
    Fun();
run(Names, Fun) ->
    Turn = take(Names),
    try Fun()
    after give_back(Turn)
    end.

%% @doc Waits until one of the names is free, and takes it. The turn ends with the calling process.
-spec take([atom(), ...]) -> turn().
take(Names) ->
    Owner = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> hold(Names, Owner, monitor(process, Owner)) end),
    receive
        {Pid, taken} -> {Pid, Monitor};
        {'DOWN', Monitor, process, Pid, Reason} -> exit(Reason)
    end.

%% @doc Ends the turn.
-spec give_back(turn()) -> ok.
give_back({Pid, Monitor}) ->
    Pid ! {self(), done},
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

hold(Names, Owner, OwnerMonitor) ->
    case lists:any(fun take_name/1, Names) of
        true ->
            Owner ! {self(), taken},
            receive
                {Owner, done} -> ok;
                {'DOWN', OwnerMonitor, process, Owner, _} -> ok
            end;
        false ->
            Others = [monitor(process, Name) || Name <- Names],
            receive
                {'DOWN', OwnerMonitor, process, Owner, _} -> ok;
                {'DOWN', _, process, _, _} ->
                    lists:foreach(fun(Other) -> demonitor(Other, [flush]) end, Others),
                    hold(Names, Owner, OwnerMonitor)
            end
    end.

take_name(Name) ->
    try register(Name, self())
    catch
        error:badarg -> false
    end.
