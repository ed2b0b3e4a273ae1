%% @doc EUnit ends a test after 5 seconds, which a busy machine takes for what takes none on an idle one. This parse
%% transform gives each test of a module ten minutes: `-compile({parse_transform, rendez_patient}).'
-module(rendez_patient).

-export([parse_transform/2, each/1]).

-define(SECONDS, 600).

parse_transform(Forms, _Options) -> [form(Form) || Form <- Forms].

%% `x_test() -> Body' becomes `x_test_() -> {timeout, Seconds, fun() -> Body end}', and what a generator returns goes
%% through each/1.
form({function, Line, Name, 0, Clauses} = Form) ->
    Body = {'fun', Line, {clauses, Clauses}},
    case lists:reverse(atom_to_list(Name)) of
        "tset_" ++ _ ->
            Test = {tuple, Line, [{atom, Line, timeout}, {integer, Line, ?SECONDS}, Body]},
            function(Line, list_to_atom(atom_to_list(Name) ++ "_"), Test);
        "_tset_" ++ _ ->
            Each = {remote, Line, {atom, Line, ?MODULE}, {atom, Line, each}},
            function(Line, Name, {call, Line, Each, [{call, Line, Body, []}]});
        _ -> Form
    end;
form(Form) -> Form.

function(Line, Name, Expression) -> {function, Line, Name, 0, [{clause, Line, [], [], [Expression]}]}.

%% Gives each test of a generator the time.
each(Tests) when is_list(Tests) -> [each(Test) || Test <- Tests];
each({Title, Tests}) when is_list(Title); is_binary(Title) -> {Title, each(Tests)};
%% As the macros have it.
each({Line, Test}) when is_integer(Line) -> {timeout, ?SECONDS, {Line, Test}};
each(Test) when is_function(Test, 0) -> {timeout, ?SECONDS, Test};
each({timeout, Seconds, Test}) -> {timeout, max(Seconds, ?SECONDS), Test};
each(Test) -> Test.
