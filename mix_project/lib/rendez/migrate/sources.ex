defmodule Rendez.Migrate.Sources do
  @moduledoc """
  Finds in the sources of a project what starts its clustering: children of a supervisor, child specifications, and calls
  of `start_link`. A private function is followed from where it is called, with what it is called with; a condition on the
  way becomes a guard of what is found.
  """
  alias Rendez.Migrate.{Config, Eval, Scope, Value}

  @typedoc "What was found: of which package, where, its argument, under which conditions, read from which configured keys."
  @type find :: %{
          kind: :dns_cluster | :libcluster | :strategy | :nodefinder,
          place: String.t(),
          value: Value.t(),
          guards: [Value.guard()],
          origins: [{atom(), atom()}]
        }

  @wanted %{[:DNSCluster] => :dns_cluster, [:Cluster, :Supervisor] => :libcluster}

  @doc "Reads the files, and says what they start, what could not be read, and what was seen and not followed."
  @spec read([Path.t()], Scope.t()) :: %{finds: [find()], unread: [String.t()], seen: [{atom(), String.t()}]}
  def read(files, scope) do
    {parsed, unread} =
      Enum.reduce(files, {[], []}, fn file, {parsed, unread} ->
        case scope.root
             |> Path.join(file)
             |> File.read!()
             |> Elixir.Code.string_to_quoted(warn_on_unnecessary_quotes: false, emit_warnings: false) do
          {:ok, ast} -> {[{file, ast} | parsed], unread}
          {:error, {where, _, _}} -> {parsed, ["#{file}: a syntax error on line #{Config.line(where)}" | unread]}
        end
      end)

    parsed = Enum.reverse(parsed)
    modules = for {file, ast} <- parsed, module <- modules(ast, %{scope | file: file}), into: %{}, do: module
    scope = %{scope | modules: Map.new(modules, fn {name, {module, _}} -> {name, module} end)}
    state = %{finds: [], visited: MapSet.new()}

    # What a behaviour of OTP calls comes first: there the arguments are known, or are no matter.
    roots =
      for {_, {module, bodies}} <- Enum.sort_by(modules, fn {_, {module, _}} -> module.file end),
          {name, arity, line} = key <- Enum.sort_by(bodies, &elem(&1, 2)),
          do: {rank(name, arity), %{module | modules: scope.modules}, key, line}

    state =
      roots
      |> Enum.sort_by(&elem(&1, 0))
      |> Enum.reduce(state, fn {_, module, {name, arity, _}, _}, state -> root(module, name, arity, state) end)

    state =
      for {file, ast} <- parsed, reduce: state do
        state -> ast |> outside() |> walk(%{scope | file: file}, [], state) |> elem(0)
      end

    # `@children [{Cluster.Supervisor, [...]}]`
    state =
      for {_, {module, _}} <- modules, {_, ast} <- Enum.sort(module.written), reduce: state do
        state -> ast |> walk(%{module | modules: scope.modules}, [], state) |> elem(0)
      end

    finds = state.finds |> Enum.reverse() |> Enum.uniq_by(&{&1.place, &1.kind, &1.guards, &1.value})
    %{finds: finds, unread: Enum.reverse(unread), seen: seen(parsed, scope, finds)}
  end

  defp rank(name, arity) when {name, arity} in [{:start, 2}, {:init, 1}], do: 0
  defp rank(name, _) when name in [:start_link, :child_spec, :children], do: 1
  defp rank(_, _), do: 2

  # --- Modules ---

  defp modules(ast, scope), do: ast |> block() |> Enum.reduce({scope, []}, &module/2) |> elem(1)

  defp module({:alias, _, _} = ast, {scope, found}), do: {Scope.alias(scope, ast), found}

  defp module({:defmodule, _, [name, [do: body]]}, {scope, found}) do
    case Scope.expand(scope, name) do
      nil ->
        {scope, found}

      parts ->
        parts =
          if scope.module && not match?({:__aliases__, _, [:"Elixir" | _]}, name),
            do: nested(scope, name, parts),
            else: parts

        inner = %{scope | module: parts, functions: %{}, attrs: %{}, written: %{}, vars: %{}}
        {inner, more, bodies} = body |> block() |> Enum.reduce({inner, [], []}, &definition/2)
        outer = if scope.module, do: Scope.alias(scope, {:alias, [], [{:__aliases__, [], parts}]}), else: scope
        {outer, [{Module.concat(parts), {inner, bodies}} | more] ++ found}
    end
  end

  defp module(_, state), do: state

  defp nested(scope, {:__aliases__, _, written}, _), do: scope.module ++ written
  defp nested(_, _, parts), do: parts

  defp definition({:alias, _, _} = ast, {scope, more, bodies}), do: {Scope.alias(scope, ast), more, bodies}

  defp definition({:defmodule, _, _} = ast, {scope, more, bodies}) do
    {after_it, found} = module(ast, {scope, []})
    {%{scope | aliases: after_it.aliases}, found ++ more, bodies}
  end

  defp definition({:@, _, [{name, _, [value]}]}, {scope, more, bodies})
       when name not in [:doc, :moduledoc, :spec, :type, :impl],
       do:
         {%{
            scope
            | attrs: Map.put(scope.attrs, name, Eval.eval(value, scope)),
              written: Map.put(scope.written, name, value)
          }, more, bodies}

  defp definition({kind, meta, [head | body]}, {scope, more, bodies}) when kind in [:def, :defp] do
    {head, guard} =
      case head do
        {:when, _, [head, guard]} -> {head, guard}
        head -> {head, nil}
      end

    case {head, body} do
      {{name, _, parameters}, [[{:do, body} | _]]} when is_atom(name) ->
        parameters = if is_list(parameters), do: parameters, else: []
        functions = functions(name, parameters, guard, body, scope)
        {%{scope | functions: functions}, more, Enum.uniq(bodies ++ [{name, length(parameters), meta[:line] || 0}])}

      _ ->
        {scope, more, bodies}
    end
  end

  defp definition({kind, _, _} = ast, {scope, more, bodies}) when kind in [:if, :unless] do
    # Definitions by environment: `if Mix.env() == :prod do def ... end`.
    {_, test, branches} = {kind, hd(elem(ast, 2)), List.last(elem(ast, 2))}
    truth = Eval.eval(test, scope)
    taken = if truth not in [nil, false] == (kind == :if), do: branches[:do], else: branches[:else]
    taken |> block() |> Enum.reduce({scope, more, bodies}, &definition/2)
  end

  defp definition(_, state), do: state

  # A clause under each number of arguments that it takes.
  defp functions(name, parameters, guard, body, scope) do
    defaults = Enum.filter(parameters, &match?({:\\, _, _}, &1))
    needed = length(parameters) - length(defaults)

    for given <- needed..length(parameters), reduce: scope.functions do
      functions ->
        clause = {given(parameters, given - needed), guard, preset(parameters, given - needed, body)}
        Map.update(functions, {name, given}, [clause], &(&1 ++ [clause]))
    end
  end

  defp given(parameters, optional) do
    {given, _} =
      Enum.flat_map_reduce(parameters, optional, fn
        {:\\, _, _}, 0 -> {[], 0}
        {:\\, _, [pattern, _]}, left -> {[pattern], left - 1}
        pattern, left -> {[pattern], left}
      end)

    given
  end

  # What was not given has its default: assigned before the body.
  defp preset(parameters, optional, body) do
    {missing, _} =
      Enum.flat_map_reduce(parameters, optional, fn
        {:\\, _, [pattern, default]}, 0 -> {[{:=, [], [pattern, default]}], 0}
        {:\\, _, _}, left -> {[], left - 1}
        _, left -> {[], left}
      end)

    if missing == [], do: body, else: {:__block__, [], missing ++ [body]}
  end

  defp block({:__block__, _, list}), do: list
  defp block(nil), do: []
  defp block(one), do: [one]

  # What stands outside of every module.
  defp outside(ast) do
    {:__block__, [], ast |> block() |> Enum.reject(&match?({:defmodule, _, _}, &1))}
  end

  # --- Walking ---

  defp root(module, name, arity, state) do
    if MapSet.member?(state.visited, {module.module, name, arity}) do
      state
    else
      for {parameters, _, body} <- Map.get(module.functions, {name, arity}, []), reduce: state do
        state ->
          scope = Enum.reduce(parameters, module, fn parameter, scope -> free(parameter, scope) end)
          state |> visit(module, name, arity) |> then(&walk(body, scope, [], &1)) |> elem(0)
      end
    end
  end

  defp free({:\\, _, [pattern, _]}, scope), do: free(pattern, scope)

  defp free(pattern, scope) do
    vars = for name <- Eval.variables(pattern), into: %{}, do: {name, argument(name, scope, pattern)}
    %{scope | vars: Map.merge(scope.vars, vars)}
  end

  defp argument(name, scope, pattern) do
    code = Eval.unknown_variable(name, scope, pattern)
    %{code | problems: ["the argument #{name}"]}
  end

  defp visit(state, module, name, arity),
    do: %{state | visited: MapSet.put(state.visited, {module.module, name, arity})}

  # Goes through an expression, and returns the scope after it.
  defp walk({:__block__, _, list}, scope, guards, state),
    do: Enum.reduce(list, {state, scope}, fn one, {state, scope} -> walk(one, scope, guards, state) end)

  defp walk({:=, _, [_, expression]} = ast, scope, guards, state) do
    {state, _} = walk(expression, scope, guards, state)
    {state, ast |> Eval.exec(scope) |> elem(1)}
  end

  defp walk({:alias, _, _} = ast, scope, _, state), do: {state, Scope.alias(scope, ast)}
  defp walk({name, _, [_ | _]}, scope, _, state) when name in [:import, :require, :use, :@], do: {state, scope}

  defp walk({:with, _, [_ | _] = parts} = ast, scope, guards, state) do
    case Eval.nested(parts) do
      nil -> {below(elem(ast, 2), scope, guards, state), scope}
      nested -> {nested |> walk(scope, guards, state) |> elem(0), scope}
    end
  end

  defp walk({kind, _, [test, branches]}, scope, guards, state) when kind in [:if, :unless] and is_list(branches) do
    {yes, no} = if kind == :if, do: {branches[:do], branches[:else]}, else: {branches[:else], branches[:do]}
    {state, inside} = walk(test, scope, guards, state)
    value = Eval.eval(test, scope)
    {by_test(value, yes, no, inside, guards, state), scope}
  end

  defp walk({operator, _, [test, then]}, scope, guards, state) when operator in [:&&, :and] do
    {state, _} = walk(test, scope, guards, state)
    {by_test(Eval.eval(test, scope), then, nil, scope, guards, state), scope}
  end

  defp walk({operator, _, [test, other]}, scope, guards, state) when operator in [:||, :or] do
    {state, _} = walk(test, scope, guards, state)
    {by_test(Eval.eval(test, scope), nil, other, scope, guards, state), scope}
  end

  defp walk({:cond, _, [[do: clauses]]}, scope, guards, state) when is_list(clauses) do
    clauses
    |> Enum.reverse()
    |> Enum.reduce(nil, fn {:->, _, [[test], body]}, rest -> {:if, [], [test, [do: body, else: rest]]} end)
    |> walk(scope, guards, state)
  end

  defp walk({:case, meta, [subject, [do: clauses]]}, scope, guards, state) when is_list(clauses) do
    {state, _} = walk(subject, scope, guards, state)
    value = Eval.eval(subject, scope)

    numbered = for {{:->, arrow, [patterns, _]}, index} <- Enum.with_index(clauses), do: {:->, arrow, [patterns, index]}

    state =
      for {more, index} <- Value.alternatives(Eval.eval({:case, meta, [subject, [do: numbered]]}, scope)),
          is_integer(index),
          reduce: state do
        state ->
          {:->, _, [[pattern], body]} = Enum.at(clauses, index)
          {_, origins} = Eval.tracked(fn -> Eval.eval(subject, scope) end)
          body |> walk(Eval.bind(scope, pattern, value, origins), guards ++ more, state) |> elem(0)
      end

    {state, scope}
  end

  defp walk({:|>, _, [value, {function, meta, arguments}]}, scope, guards, state) when is_list(arguments),
    do: walk({function, meta, [value | arguments]}, scope, guards, state)

  # `fn`, `for` and the like: what they bind is not known.
  defp walk({:->, _, [patterns, body]}, scope, guards, state) do
    inside = Enum.reduce(patterns, scope, fn pattern, scope -> free(pattern, scope) end)
    {body |> walk(inside, guards, state) |> elem(0), scope}
  end

  defp walk({:<-, _, [pattern, source]}, scope, guards, state) do
    {state, _} = walk(source, scope, guards, state)
    {state, free(pattern, scope)}
  end

  defp walk({:for, _, parts}, scope, guards, state) do
    {state, _} = Enum.reduce(parts, {state, scope}, fn part, {state, scope} -> walk(part, scope, guards, state) end)
    {state, scope}
  end

  # `{DNSCluster, options}`
  defp walk({{:__aliases__, _, _} = module, argument} = ast, scope, guards, state) do
    case child(module, scope) do
      nil -> {below([module, argument], scope, guards, state), scope}
      kind -> {find(state, kind, module, argument, guards, scope, ast), scope}
    end
  end

  # `{DNSCluster, :start_link, [options]}`
  defp walk({:{}, _, [{:__aliases__, _, _} = module, function, [argument]]} = ast, scope, guards, state)
       when function in [:start_link, :start, :child_spec] do
    case child(module, scope) do
      nil -> {below([argument], scope, guards, state), scope}
      kind -> {find(state, kind, module, argument, guards, scope, ast), scope}
    end
  end

  # `worker(DNSCluster, [options])`
  defp walk({function, _, [{:__aliases__, _, _} = module, [argument] | _]} = ast, scope, guards, state)
       when function in [:worker, :supervisor] do
    case child(module, scope) do
      nil -> {below([argument], scope, guards, state), scope}
      kind -> {find(state, kind, module, argument, guards, scope, ast), scope}
    end
  end

  defp walk({{:., _, [{:__aliases__, _, _} = module, function]}, _, arguments} = ast, scope, guards, state)
       when is_atom(function) do
    state = below(arguments, scope, guards, state)
    parts = Scope.expand(scope, module)

    cond do
      function in [:start_link, :child_spec] and length(arguments) == 1 and child(module, scope) ->
        {find(state, child(module, scope), module, hd(arguments), guards, scope, ast), scope}

      function in [:worker, :supervisor] ->
        {walk({function, [], arguments}, scope, guards, state) |> elem(0), scope}

      inner = parts && scope.modules[Module.concat(parts)] ->
        {called(inner, function, arguments, scope, guards, state), scope}

      true ->
        {state, scope}
    end
  end

  defp walk({{:., _, [{:__MODULE__, _, _}, function]}, _, arguments}, scope, guards, state) when is_atom(function) do
    state = below(arguments, scope, guards, state)
    {called(scope, function, arguments, scope, guards, state), scope}
  end

  # `:nodefinder.multicast_start()`
  defp walk({{:., _, [:nodefinder, function]}, _, arguments} = ast, scope, guards, state)
       when function in [:multicast_start, :ec2_start] do
    {find(state, :nodefinder, function, [function | arguments], guards, scope, ast), scope}
  end

  defp walk({name, _, context}, scope, guards, state) when is_atom(name) and is_atom(context) do
    if Map.has_key?(scope.vars, name), do: {state, scope}, else: {called(scope, name, [], scope, guards, state), scope}
  end

  defp walk({name, _, arguments}, scope, guards, state) when is_atom(name) and is_list(arguments) do
    state = below(arguments, scope, guards, state)
    {called(scope, name, arguments, scope, guards, state), scope}
  end

  defp walk({function, _, arguments}, scope, guards, state) when is_list(arguments),
    do: {below([function | arguments], scope, guards, state), scope}

  defp walk({a, b}, scope, guards, state), do: {below([a, b], scope, guards, state), scope}
  defp walk(list, scope, guards, state) when is_list(list), do: {below(list, scope, guards, state), scope}
  defp walk(_, scope, _, state), do: {state, scope}

  defp below(list, scope, guards, state),
    do: Enum.reduce(list, state, fn one, state -> one |> walk(scope, guards, state) |> elem(0) end)

  defp by_test(value, yes, no, scope, guards, state) do
    for {more, decided} <- Value.alternatives(Eval.either(value, fn -> true end, fn -> false end)), reduce: state do
      state ->
        case if(decided, do: yes, else: no) do
          nil -> state
          body -> body |> walk(scope, guards ++ more, state) |> elem(0)
        end
    end
  end

  # A function of the project, with what it is called with.
  defp called(inner, name, arguments, scope, guards, state) do
    key = {name, length(arguments)}

    if Map.has_key?(inner.functions, key) and scope.depth < 12 do
      values = Enum.map(arguments, &Eval.eval(&1, scope))
      clauses = inner.functions[key]
      numbered = for {{parameters, guard, _}, index} <- Enum.with_index(clauses), do: {parameters, guard, index}

      numbers = %{
        inner
        | functions: Map.put(inner.functions, key, numbered),
          modules: scope.modules,
          lookup: scope.lookup,
          keys: scope.keys
      }

      state = visit(state, inner, name, length(arguments))

      for {more, index} <- Value.alternatives(Eval.inlined(%{numbers | depth: scope.depth}, name, values, nil, scope)),
          is_integer(index),
          reduce: state do
        state ->
          {parameters, _, body} = Enum.at(clauses, index)

          inside = %{
            inner
            | modules: scope.modules,
              lookup: scope.lookup,
              keys: scope.keys,
              depth: scope.depth + 1,
              vars: %{}
          }

          inside =
            parameters
            |> Enum.zip(values)
            |> Enum.reduce(inside, fn {one, value}, inside -> Eval.bind(inside, one, value) end)

          body |> walk(inside, guards ++ more, state) |> elem(0)
      end
    else
      state
    end
  end

  # --- Finds ---

  defp child(module, scope) do
    case Scope.expand(scope, module) do
      [:Cluster, :Strategy | _] -> :strategy
      parts -> @wanted[parts]
    end
  end

  defp find(state, kind, module, argument, guards, scope, ast) do
    {value, origins} = Eval.tracked(fn -> Eval.eval(argument, scope) end)
    value = if kind == :strategy, do: {Eval.eval(module, scope), value}, else: value

    found = %{
      kind: kind,
      place: Scope.place(scope, if(kind == :nodefinder, do: ast, else: {module, argument})),
      value: value,
      guards: guards,
      origins: origins
    }

    %{state | finds: [found | state.finds]}
  end

  # Mentions of a package of which nothing was found.
  defp seen(parsed, scope, finds) do
    for {file, ast} <- parsed,
        {kind, line} <- mentions(ast, %{scope | file: file}),
        not Enum.any?(finds, &(&1.kind == kind)),
        uniq: true,
        do: {kind, "#{file}:#{line}"}
  end

  defp mentions(ast, scope) do
    {_, {_, found}} =
      Macro.prewalk(ast, {scope, []}, fn
        {:alias, _, _} = node, {scope, found} ->
          {node |> elem(0), {Scope.alias(scope, node), found}}

        {name, _, [_ | _]}, state when name in [:import, :require] ->
          {nil, state}

        {:@, _, [{name, _, _}]}, state when name in [:doc, :moduledoc, :spec, :type] ->
          {nil, state}

        {:__aliases__, meta, _} = node, {scope, found} ->
          case @wanted[Scope.expand(scope, node)] do
            nil -> {node, {scope, found}}
            kind -> {node, {scope, [{kind, meta[:line]} | found]}}
          end

        node, state ->
          {node, state}
      end)

    Enum.reverse(found)
  end
end
