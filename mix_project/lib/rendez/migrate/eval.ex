defmodule Rendez.Migrate.Eval do
  @moduledoc """
  Reads off what an expression stands for, as a `Rendez.Migrate.Value`. Nothing of the project is run.

  Only functions of Elixir and OTP that compute, and do nothing else, are called, with values that are known. The
  environment of the machine is never read: `System.get_env/1` stays an expression.
  """
  alias Rendez.Migrate.{Scope, Value}
  alias Rendez.Migrate.Value.{Choice, Code}

  # Deeper than this no function of the project is followed.
  @depth 25

  # What only computes. Arguments may hold what is not known where they are lists to be arranged.
  @computing [String, Integer, Float, List, Keyword, Map, Enum, Tuple, Atom, Access, MapSet, Version]
  @arranging [List, Keyword, Map, Enum, Access, Tuple]
  # What takes memory without a bound, or depends on the machine.
  @unbounded [:duplicate, :pad_leading, :pad_trailing, :pow, :random, :shuffle, :take_random, :into, :to_existing_atom]
  @erlang_computing [timer: [:seconds, :minutes, :hours, :hms], inet: [:parse_address, :parse_ipv4_address, :ntoa]]
  @operators [:+, :-, :*, :/, :==, :!=, :===, :!==, :<, :>, :<=, :>=, :in, :=~]
  @kernel [:div, :rem, :to_string, :to_charlist, :is_nil, :is_binary, :is_list, :is_atom, :is_integer, :is_boolean] ++
            [:max, :min, :abs, :length, :hd, :tl, :elem, :not, :!, :byte_size, :is_map, :tuple_size, :inspect]
  # What has another value, or none, where a configuration is read.
  @elsewhere [:node, :self, :__ENV__, :__CALLER__, :make_ref]

  @doc "The value of a block, and the scope after it."
  @spec exec(Macro.t(), Scope.t()) :: {Value.t(), Scope.t()}
  def exec({:__block__, _, statements}, scope),
    do: Enum.reduce(statements, {nil, scope}, fn statement, {_, scope} -> exec(statement, scope) end)

  def exec({:=, _, [pattern, expression]}, scope) do
    {value, origins} = tracked(fn -> eval(expression, scope) end)
    {value, bind(scope, pattern, value, origins)}
  end

  def exec({:alias, _, _} = ast, scope), do: {nil, Scope.alias(scope, ast)}
  def exec({name, _, [_ | _]}, scope) when name in [:import, :require, :use], do: {nil, scope}
  def exec(ast, scope), do: {eval(ast, scope), scope}

  @doc "Binds the variables of a pattern. Those of which nothing is known say so where they are used."
  @spec bind(Scope.t(), Macro.t(), Value.t(), [term()]) :: Scope.t()
  def bind(scope, pattern, value, origins \\ []) do
    vars =
      with decided when decided in [:maybe, :no] <- match(pattern, value, scope),
           unknown when unknown in [:unknown, :no] <- tests(pattern, value, scope) do
        for name <- variables(pattern), into: %{}, do: {name, unknown_variable(name, scope, pattern)}
      else
        {:ok, vars} -> vars
        {:ok, _, vars} -> vars
      end

    %{
      scope
      | vars: Map.merge(scope.vars, vars),
        origins: Map.merge(scope.origins, Map.new(vars, fn {name, _} -> {name, origins} end))
    }
  end

  @doc "A variable of which nothing is known."
  @spec unknown_variable(atom(), Scope.t(), Macro.t()) :: Code.t()
  def unknown_variable(name, scope, ast),
    do: %Code{ast: {name, [], nil}, place: Scope.place(scope, ast), problems: ["the variable #{name}"]}

  @doc "Runs `read`, and says which keys of the configuration it looked at."
  @spec tracked((() -> result)) :: {result, [{atom(), atom()}]} when result: term()
  def tracked(read) do
    before = Process.put(:rendez_migrate_origins, [])
    result = read.()
    origins = Process.put(:rendez_migrate_origins, before) || []
    track(origins)
    {result, Enum.uniq(origins)}
  end

  defp track(origins),
    do: Process.put(:rendez_migrate_origins, origins ++ (Process.get(:rendez_migrate_origins) || []))

  @doc "The value of an expression."
  @spec eval(Macro.t(), Scope.t()) :: Value.t()
  def eval(literal, _) when is_atom(literal) or is_number(literal) or is_binary(literal), do: literal
  def eval({a, b}, scope), do: {eval(a, scope), eval(b, scope)}

  def eval(list, scope) when is_list(list) do
    Enum.reduce(Enum.reverse(list), [], fn
      {:|, _, [head, tail]}, [] ->
        case eval(tail, scope) do
          tail when is_list(tail) -> [eval(head, scope) | tail]
          tail -> [eval(head, scope) | List.wrap(tail)]
        end

      one, done ->
        [eval(one, scope) | done]
    end)
  end

  def eval({:{}, _, parts}, scope), do: parts |> Enum.map(&eval(&1, scope)) |> List.to_tuple()

  def eval({:%{}, _, [{:|, _, _}]} = ast, scope), do: code(ast, scope)
  def eval({:%{}, _, pairs}, scope), do: Map.new(pairs, &eval(&1, scope))

  def eval({:%, _, [name, {:%{}, _, pairs}]} = ast, scope) do
    case Scope.expand(scope, name) do
      [:Cluster, :Strategy, :State] when is_list(pairs) -> {:state, eval(pairs, scope)}
      _ -> code(ast, scope)
    end
  end

  def eval({:__aliases__, _, _} = ast, scope) do
    case Scope.expand(scope, ast) do
      nil -> code(ast, scope)
      parts -> Module.concat(parts)
    end
  end

  def eval({:__MODULE__, _, _}, %{module: [_ | _] = module}), do: Module.concat(module)
  def eval({:__DIR__, _, _}, scope), do: scope.root |> Path.join(scope.file) |> Path.expand() |> Path.dirname()
  def eval({:__block__, _, _} = block, scope), do: block |> exec(scope) |> elem(0)
  def eval({:=, _, [_, expression]}, scope), do: eval(expression, scope)

  def eval({:@, _, [{name, _, context}]} = ast, scope) when is_atom(context) do
    case scope.attrs do
      %{^name => value} -> value
      _ -> %Code{ast: ast, place: Scope.place(scope, ast), problems: ["the attribute @#{name}"]}
    end
  end

  # A variable; without a value it may be a call without parentheses.
  def eval({name, _, context} = ast, scope) when is_atom(name) and is_atom(context) do
    case scope.vars do
      %{^name => value} ->
        track(Map.get(scope.origins, name, []))
        value

      _ ->
        if Map.has_key?(scope.functions, {name, 0}),
          do: local(name, [], ast, scope),
          else: unknown_variable(name, scope, ast)
    end
  end

  def eval({sigil, _, [{:<<>>, _, parts}, modifiers]} = ast, scope)
      when sigil in [:sigil_w, :sigil_W, :sigil_s, :sigil_S] do
    case {interpolated(parts, scope), sigil} do
      {text, sigil} when is_binary(text) and sigil in [:sigil_w, :sigil_W] -> words(String.split(text), modifiers)
      {text, _} when is_binary(text) -> text
      _ -> code(ast, scope)
    end
  end

  def eval({sigil, _, [{:<<>>, _, parts}, _]} = ast, scope) when sigil in [:sigil_c, :sigil_C] do
    case interpolated(parts, scope) do
      text when is_binary(text) -> String.to_charlist(text)
      _ -> code(ast, scope)
    end
  end

  def eval({:<<>>, _, parts} = ast, scope) do
    case interpolated(parts, scope) do
      text when is_binary(text) -> text
      {:parts, parts} -> rebuild({:<<>>, [], Enum.map(parts, &part/1)}, parts, ast, scope)
    end
  end

  # :"a#{b}"
  def eval({{:., _, [:erlang, :binary_to_atom]}, _, [{:<<>>, _, _} = text, _]} = ast, scope) do
    case eval(text, scope) do
      text when is_binary(text) -> String.to_atom(text)
      code -> call({{:., [], [{:__aliases__, [], [:String]}, :to_atom]}, [], [Value.quoted(code)]}, [code], ast, scope)
    end
  end

  # 'a#{b}'
  def eval({{:., _, [List, :to_charlist]}, _, [parts]} = ast, scope) when is_list(parts) do
    case eval(parts, scope) do
      list when is_list(list) ->
        if(Enum.all?(list, &is_binary/1), do: list |> Enum.join() |> to_charlist(), else: code(ast, scope))

      _ ->
        code(ast, scope)
    end
  end

  # Inside an interpolation that is parsed as a charlist.
  def eval({{:., _, [Kernel, :to_string]}, _, [one]}, scope),
    do: apply_known(Kernel, :to_string, [eval(one, scope)], one, scope)

  def eval({:|>, _, [value, {function, meta, arguments}]}, scope) when is_list(arguments),
    do: eval({function, meta, [value | arguments]}, scope)

  def eval({:|>, _, [value, {function, meta, context}]}, scope) when is_atom(context),
    do: eval({function, meta, [value]}, scope)

  def eval({operator, _, [left, right]}, scope) when operator in [:||, :or],
    do: disjunction(eval(left, scope), right, scope)

  def eval({operator, _, [left, right]}, scope) when operator in [:&&, :and],
    do: either(eval(left, scope), fn -> eval(right, scope) end, fn -> false end)

  def eval({operator, _, [one]}, scope) when operator in [:!, :not],
    do: either(eval(one, scope), fn -> false end, fn -> true end)

  def eval({:if, _, [test, branches]}, scope) when is_list(branches),
    do: branches(test, branches[:do], branches[:else], scope)

  def eval({:unless, _, [test, branches]}, scope) when is_list(branches),
    do: branches(test, branches[:else], branches[:do], scope)

  def eval({:case, _, [subject, [do: clauses]]} = ast, scope) when is_list(clauses),
    do: clauses(eval(subject, scope), Enum.map(clauses, &clause/1), ast, scope)

  def eval({:cond, _, [[do: clauses]]}, scope) when is_list(clauses) do
    clauses
    |> Enum.reverse()
    |> Enum.reduce(fn -> nil end, fn {:->, _, [[test], body]}, rest ->
      fn -> either(eval(test, scope), fn -> eval(body, scope) end, rest) end
    end)
    |> then(& &1.())
  end

  def eval({:with, _, [_ | _] = parts} = ast, scope) do
    case nested(parts) do
      nil -> code(ast, scope)
      nested -> eval(nested, scope)
    end
  end

  def eval({:for, _, [{:<-, _, [pattern, source]}, [do: body]]} = ast, scope) do
    case eval(source, scope) do
      list when is_list(list) ->
        for one <- list, {:ok, vars} <- [match(pattern, one, scope)] do
          eval(body, %{scope | vars: Map.merge(scope.vars, vars)})
        end

      _ ->
        code(ast, scope)
    end
  end

  def eval({:.., _, [first, last]} = ast, scope) do
    case {eval(first, scope), eval(last, scope)} do
      {first, last} when is_integer(first) and is_integer(last) and abs(last - first) < 1_000 ->
        Enum.to_list(first..last)

      _ ->
        code(ast, scope)
    end
  end

  def eval({:++, _, [left, right]} = ast, scope), do: concat(eval(left, scope), eval(right, scope), ast, scope)

  def eval({:<>, _, [left, right]} = ast, scope) do
    case {eval(left, scope), eval(right, scope)} do
      {left, right} when is_binary(left) and is_binary(right) -> left <> right
      {left, right} -> call({:<>, [], [Value.quoted(left), Value.quoted(right)]}, [left, right], ast, scope)
    end
  end

  def eval({name, _, arguments} = ast, scope) when name in @elsewhere and is_list(arguments),
    do: %{code(ast, scope) | problems: ["#{name}()"]}

  # `to_timeout(second: 5)` of Elixir 1.17
  def eval({:to_timeout, _, [parts]} = ast, scope) do
    units = [millisecond: 1, second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000, week: 604_800_000]

    case eval(parts, scope) do
      number when is_integer(number) ->
        number

      [{_, _} | _] = parts ->
        if(Enum.all?(parts, fn {unit, count} -> is_integer(count) and units[unit] end),
          do: parts |> Enum.map(fn {unit, count} -> units[unit] * count end) |> Enum.sum(),
          else: code(ast, scope)
        )

      _ ->
        code(ast, scope)
    end
  end

  def eval({:config_env, _, []}, scope), do: scope.env
  def eval({:config_target, _, []}, scope), do: scope.target
  def eval({:sigil_r, _, _} = ast, scope), do: code(ast, scope)

  def eval({name, _, arguments} = ast, scope)
      when name in [:fn, :&, :receive, :try, :quote] and is_list(arguments),
      do: code(ast, scope)

  # `put_in(topologies, [:shop, :config, :port], 4000)`, `put_in(topologies[:shop][:config][:port], 4000)`
  def eval({:put_in, _, [data, path, value]} = ast, scope) do
    with path when is_list(path) <- eval(path, scope), true <- path != [] and Enum.all?(path, &is_atom/1) do
      put_within(eval(data, scope), path, eval(value, scope)) || code(ast, scope)
    else
      _ -> code(ast, scope)
    end
  end

  def eval({:put_in, meta, [path, value]} = ast, scope) do
    case accessed(path, []) do
      {data, [_ | _] = keys} -> eval({:put_in, meta, [data, keys, value]}, scope)
      _ -> code(ast, scope)
    end
  end

  def eval({:get_in, _, [data, path]} = ast, scope) do
    with data when is_list(data) or is_map(data) <- eval(data, scope), path when is_list(path) <- eval(path, scope) do
      Enum.reduce(path, data, &within/2)
    else
      _ -> code(ast, scope)
    end
  end

  def eval({:then, _, [value, {kind, _, _} = lambda]} = ast, scope) when kind in [:fn, :&] do
    case lambda(lambda, eval(value, scope), scope) do
      :error -> code(ast, scope)
      value -> value
    end
  end

  def eval({name, _, arguments} = ast, scope) when is_atom(name) and is_list(arguments) do
    arity = length(arguments)

    cond do
      Map.has_key?(scope.functions, {name, arity}) ->
        local(name, Enum.map(arguments, &eval(&1, scope)), ast, scope)

      name in @operators or name in @kernel ->
        apply_known(Kernel, name, Enum.map(arguments, &eval(&1, scope)), ast, scope)

      name == :raise ->
        %Code{ast: {:raise, [], [raised(arguments)]}, place: Scope.place(scope, ast)}

      Macro.special_form?(name, arity) or Macro.operator?(name, arity) ->
        code(ast, scope)

      true ->
        values = Enum.map(arguments, &eval(&1, scope))
        built = rebuild({name, [], values}, values, ast, scope)
        # What is imported there is there for the configuration that is written into the same file.
        if scope.file == "config/runtime.exs", do: built, else: %{built | problems: ["the function #{name}/#{arity}"]}
    end
  end

  def eval({{:., _, [{:__aliases__, _, _} = module, function]}, meta, arguments} = ast, scope) when is_atom(function) do
    case Scope.expand(scope, module) do
      nil -> code(ast, scope)
      parts -> remote(Module.concat(parts), function, arguments, meta, ast, scope)
    end
  end

  def eval({{:., _, [{:__MODULE__, _, _}, function]}, _, arguments} = ast, scope) when is_atom(function),
    do: eval({function, [], arguments}, scope) |> with_place(ast, scope)

  def eval({{:., _, [module, function]}, meta, arguments} = ast, scope) when is_atom(module) and is_atom(function),
    do: remote(module, function, arguments, meta, ast, scope)

  # map.key
  def eval({{:., _, [map, key]}, _, []} = ast, scope) when is_atom(key) do
    case eval(map, scope) do
      %{^key => value} -> value
      _ -> code(ast, scope)
    end
  end

  def eval(ast, scope), do: code(ast, scope)

  @doc "A `with` as the `case` in a `case` that it is; `nil` where it is none."
  @spec nested([Macro.t()]) :: Macro.t() | nil
  def nested(parts) do
    {clauses, last} = Enum.split(parts, -1)

    with [[{:do, body} | rest]] <- last do
      otherwise = Keyword.get(rest, :else) || [{:->, [], [[{:_, [], nil}], nil]}]

      clauses
      |> Enum.reverse()
      |> Enum.reduce(body, fn
        {:<-, meta, [pattern, value]}, inner ->
          {:case, meta, [value, [do: [{:->, meta, [[pattern], inner]} | otherwise]]]}

        statement, inner ->
          {:__block__, [], [statement, inner]}
      end)
    else
      _ -> nil
    end
  end

  defp accessed({{:., _, [Access, :get]}, _, [inner, key]}, keys) when is_atom(key), do: accessed(inner, [key | keys])
  defp accessed(data, keys), do: {data, keys}

  defp put_within(%Choice{} = one, path, value), do: Value.map(one, &put_within(&1, path, value))

  defp put_within(data, [key], value) when is_list(data) or (is_map(data) and not is_struct(data)),
    do: if(is_map(data) or Keyword.keyword?(data), do: put_in(data, [key], value))

  defp put_within(data, [key | path], value) when is_list(data) or (is_map(data) and not is_struct(data)) do
    with true <- is_map(data) or Keyword.keyword?(data),
         inner when inner != nil <- put_within(within(key, data) || [], path, value) do
      put_in(data, [key], inner)
    else
      _ -> nil
    end
  end

  defp put_within(_, _, _), do: nil

  # --- Calls ---

  defp remote(Mix, :env, [], _, _, scope), do: scope.env
  defp remote(Mix, :target, [], _, _, scope), do: scope.target
  defp remote(Config, function, arguments, meta, _, scope), do: eval({function, meta, arguments}, scope)
  defp remote(Kernel, function, arguments, meta, _, scope), do: eval({function, meta, arguments}, scope)

  defp remote(Node, _, _, _, ast, scope), do: %{code(ast, scope) | problems: ["the name of the node"]}
  defp remote(:erlang, :node, _, _, ast, scope), do: %{code(ast, scope) | problems: ["node()"]}

  defp remote(Application, function, [app, key | default], _, ast, scope)
       when function in [:get_env, :compile_env, :fetch_env!, :compile_env!, :fetch_env] do
    with app when is_atom(app) <- eval(app, scope),
         [key | path] when is_atom(key) <- List.wrap(eval(key, scope)) do
      track([{app, key}])

      case {scope.lookup.(app, key), function, default} do
        {{:ok, value}, :fetch_env, _} -> {:ok, value}
        {{:ok, value}, _, _} -> Enum.reduce(path, value, &within/2)
        {:error, :fetch_env, _} -> :error
        {:error, _, [default]} -> eval(default, scope)
        {:error, function, _} when function in [:fetch_env!, :compile_env!] -> missing(app, key, ast, scope)
        {:error, _, _} -> nil
      end
    else
      _ -> code(ast, scope)
    end
  end

  defp remote(Application, :get_all_env, [app], _, ast, scope) do
    case eval(app, scope) do
      app when is_atom(app) ->
        keys = scope.keys.(app)
        track(for key <- keys, do: {app, key})
        for key <- keys, {:ok, value} <- [scope.lookup.(app, key)], do: {key, value}

      _ ->
        code(ast, scope)
    end
  end

  defp remote(Module, :concat, arguments, _, ast, scope) do
    values = Enum.map(arguments, &eval(&1, scope))

    if Value.known?(values),
      do: apply(Module, :concat, values),
      else:
        call(
          {{:., [], [{:__aliases__, [], [:Module]}, :concat]}, [], Enum.map(values, &Value.quoted/1)},
          values,
          ast,
          scope
        )
  rescue
    _ -> code(ast, scope)
  end

  defp remote(Application, _, _, _, ast, scope),
    do: %{code(ast, scope) | problems: ["the environment of an application"]}

  defp remote(Elixir.Code, :ensure_loaded?, [_], _, _, _), do: true

  defp remote(File, function, [path], _, ast, scope) when function in [:exists?, :regular?] do
    case eval(path, scope) do
      path when is_binary(path) -> path |> Path.expand(scope.root) |> File.exists?()
      _ -> code(ast, scope)
    end
  end

  defp remote(Path, :expand, [path | base], _, ast, scope) do
    case [eval(path, scope) | Enum.map(base, &eval(&1, scope))] do
      [path] when is_binary(path) -> Path.expand(path, scope.root)
      [path, base] when is_binary(path) and is_binary(base) -> Path.expand(path, base)
      _ -> code(ast, scope)
    end
  end

  defp remote(Path, :join, arguments, _, ast, scope),
    do: apply_known(Path, :join, Enum.map(arguments, &eval(&1, scope)), ast, scope)

  defp remote(Enum, function, [list, {kind, _, _} = lambda], _, ast, scope)
       when function in [:map, :flat_map, :filter, :reject] and kind in [:fn, :&] do
    with list when is_list(list) <- eval(list, scope),
         values when is_list(values) <- each(list, lambda, scope) do
      case function do
        :map -> values
        :flat_map -> if(Enum.all?(values, &is_list/1), do: Enum.concat(values), else: code(ast, scope))
        _ -> filtered(list, values, function == :filter) || code(ast, scope)
      end
    else
      _ -> code(ast, scope)
    end
  end

  # What changes one value of a list of options.
  defp remote(module, function, [options, key | rest], _, ast, scope)
       when module in [Keyword, Map] and function in [:update, :update!] do
    lambda = List.last(rest)
    initial = if length(rest) == 2, do: {:ok, eval(hd(rest), scope)}, else: :error

    with options when is_list(options) or is_map(options) <- eval(options, scope),
         key when is_atom(key) <- eval(key, scope),
         {:ok, value} <- updated(module.fetch(options, key), initial, lambda, scope) do
      module.put(options, key, value)
    else
      _ -> code(ast, scope)
    end
  end

  defp remote(module, function, arguments, _, ast, scope) do
    values = Enum.map(arguments, &eval(&1, scope))

    cond do
      (module in @computing and function not in @unbounded) or function in Keyword.get(erlang_computing(), module, []) ->
        apply_known(module, function, values, ast, scope)

      inner = scope.modules[module] ->
        inlined(inner, function, values, ast, scope) || rebuild(ast, values, ast, scope)

      true ->
        call({{:., [], [module_ast(module), function]}, [], Enum.map(values, &Value.quoted/1)}, values, ast, scope)
    end
  end

  defp erlang_computing, do: @erlang_computing

  defp missing(app, key, ast, scope),
    do: %Code{
      ast: plain(ast),
      place: Scope.place(scope, ast),
      problems: ["config #{inspect(app)}, #{inspect(key)}, which is not set"]
    }

  defp within(key, %{} = map) when not is_struct(map), do: Map.get(map, key)
  defp within(key, list) when is_list(list), do: if(Keyword.keyword?(list), do: list[key])
  defp within(_, _), do: nil

  defp updated({:ok, value}, _, lambda, scope) do
    case lambda(lambda, value, scope) do
      :error -> :error
      value -> {:ok, value}
    end
  end

  defp updated(:error, initial, _, _), do: initial

  defp each(list, lambda, scope) do
    values = Enum.map(list, &lambda(lambda, &1, scope))
    if :error in values, do: nil, else: values
  end

  defp lambda({:fn, _, [{:->, _, [[{:when, _, _}], _]}]}, _, _), do: :error

  defp lambda({:fn, _, [{:->, _, [[pattern], body]}]}, value, scope) do
    case match(pattern, value, scope) do
      {:ok, vars} -> eval(body, %{scope | vars: Map.merge(scope.vars, vars)})
      _ -> :error
    end
  end

  defp lambda({:&, _, [{:/, _, [{function, meta, _}, 1]}]}, value, scope),
    do: eval({function, meta, [Value.quoted(value)]}, scope)

  defp lambda({:&, _, [body]}, value, scope) do
    body
    |> Macro.prewalk(fn
      {:&, _, [1]} -> {:rendez_argument, [], nil}
      node -> node
    end)
    |> eval(%{scope | vars: Map.put(scope.vars, :rendez_argument, value)})
  end

  defp lambda(_, _, _), do: :error

  defp filtered(list, tests, keep) do
    if Enum.all?(tests, &Value.known?/1),
      do: for({one, test} <- Enum.zip(list, tests), test not in [nil, false] == keep, do: one)
  end

  # A function that only computes. What is not known makes an expression of it.
  defp apply_known(module, function, values, ast, scope) do
    choice = Enum.find_index(values, &structural?/1)
    waits = Enum.any?(values, &(is_struct(&1, Code) or is_struct(&1, Choice)))

    cond do
      choice ->
        Value.map(
          Enum.at(values, choice),
          &apply_known(module, function, List.replace_at(values, choice, &1), ast, scope)
        )

      not waits and (module in @arranging or Enum.all?(values, &Value.known?/1)) ->
        try do
          computed(module, function, values)
        rescue
          _ -> as_call(module, function, values, ast, scope)
        catch
          _, _ -> as_call(module, function, values, ast, scope)
        end

      true ->
        as_call(module, function, values, ast, scope)
    end
  end

  # These are macros, which cannot be applied.
  defp computed(Kernel, :to_string, [value]), do: to_string(value)
  defp computed(Kernel, :to_charlist, [value]), do: to_charlist(value)
  defp computed(Kernel, :is_nil, [value]), do: value == nil
  defp computed(Kernel, :in, [value, list]), do: Enum.member?(list, value)
  defp computed(module, function, values), do: apply(module, function, values)

  # A choice between lists has to be made before they are worked with; one between texts is an expression like any other.
  defp structural?(%Choice{then: value, else: other}), do: structure?(value) or structure?(other)
  defp structural?(_), do: false
  defp structure?(%Choice{} = one), do: structural?(one)
  defp structure?(%Code{}), do: false
  defp structure?(value), do: is_list(value) or is_map(value) or is_tuple(value)

  defp as_call(Kernel, function, values, ast, scope),
    do: call({function, [], Enum.map(values, &Value.quoted/1)}, values, ast, scope)

  defp as_call(module, function, values, ast, scope),
    do: call({{:., [], [module_ast(module), function]}, [], Enum.map(values, &Value.quoted/1)}, values, ast, scope)

  defp call(built, values, ast, scope),
    do: %Code{ast: plain(built), place: Scope.place(scope, ast), problems: Value.problems(values)}

  @doc "A module as it is written."
  @spec module_ast(module()) :: Macro.t()
  def module_ast(module) do
    case Atom.to_string(module) do
      "Elixir." <> _ -> {:__aliases__, [], module |> Module.split() |> Enum.map(&String.to_atom/1)}
      _ -> module
    end
  end

  # --- Functions of the project ---

  defp local(name, values, ast, scope),
    do: inlined(scope, name, values, ast, scope) || unfollowed(name, values, ast, scope)

  defp unfollowed(name, values, ast, scope),
    do: %{rebuild({name, [], values}, values, ast, scope) | problems: ["the function #{name}/#{length(values)}"]}

  @doc false
  # The value of a function of the project, by its clauses; `nil` where they are not known or cannot be followed.
  def inlined(inner, name, values, ast, scope) do
    with true <- scope.depth < @depth,
         {:ok, clauses} <- Map.fetch(inner.functions, {name, length(values)}) do
      inner = %{
        inner
        | vars: %{},
          origins: %{},
          depth: scope.depth + 1,
          modules: scope.modules,
          lookup: scope.lookup,
          keys: scope.keys
      }

      clauses =
        for {parameters, guard, body} <- clauses, do: {{:{}, [], Enum.map(parameters, &default_of/1)}, guard, body}

      clauses(List.to_tuple(values), clauses, ast, inner)
    else
      _ -> nil
    end
  end

  # --- Branches ---

  defp branches(test, yes, no, scope) do
    # `if x = System.get_env("X") do`
    {value, after_test} = exec(test, scope)
    either(value, fn -> eval(yes, after_test) end, fn -> eval(no, scope) end)
  end

  @doc false
  # What a test decides. A test that waits makes a choice.
  def either(value, yes, no) do
    case value do
      none when none in [nil, false] -> no.()
      %Choice{} = one -> Value.choice(one.test, either(one.then, yes, no), either(one.else, yes, no))
      %Code{ast: {:!, _, [inner]}} = code -> Value.choice(%{code | ast: inner}, no.(), yes.())
      %Code{} = code -> if(Value.always?(code), do: yes.(), else: Value.choice(code, yes.(), no.()))
      _ -> yes.()
    end
  end

  defp disjunction(left, right, scope) do
    case left do
      none when none in [nil, false] ->
        eval(right, scope)

      %Code{ast: {{:., _, [{:__aliases__, _, [:System]}, :get_env]}, _, [name]}} = code ->
        case eval(right, scope) do
          # `System.get_env("X") || raise "..."`
          %Code{ast: {:raise, _, _}} ->
            %{code | ast: {{:., [], [{:__aliases__, [], [:System]}, :fetch_env!]}, [], [name]}}

          other ->
            Value.choice(code, code, other)
        end

      %Code{} = code ->
        if Value.always?(code), do: code, else: Value.choice(code, code, eval(right, scope))

      %Choice{} = one ->
        Value.choice(one.test, disjunction(one.then, right, scope), disjunction(one.else, right, scope))

      _ ->
        left
    end
  end

  defp concat(left, right, ast, scope) do
    case {left, right} do
      {%Choice{} = one, right} -> Value.map(one, &concat(&1, right, ast, scope))
      {left, %Choice{} = one} -> Value.map(one, &concat(left, &1, ast, scope))
      {left, right} when is_list(left) and is_list(right) -> left ++ right
      _ -> call({:++, [], [Value.quoted(left), Value.quoted(right)]}, [left, right], ast, scope)
    end
  end

  defp clause({:->, _, [[{:when, _, [pattern, guard]}], body]}), do: {pattern, guard, body}
  defp clause({:->, _, [[pattern], body]}), do: {pattern, nil, body}

  # The clauses of a `case`, or of a function, whose parameters are a list and whose arguments are a tuple.
  # Where none fits, the project ends with an error: nothing that can be carried over.
  defp clauses(_, [], _, _), do: nil

  defp clauses(subject, [{pattern, guard, body} | rest], ast, scope) do
    case test(pattern, guard, subject, scope) do
      :no ->
        clauses(subject, rest, ast, scope)

      {:yes, vars} ->
        eval(body, with_vars(scope, vars))

      # Without another clause the project would not get any further.
      {%Code{problems: ["a pattern"]}, vars} when rest == [] ->
        eval(body, with_vars(scope, vars))

      {test, vars} ->
        either(test, fn -> eval(body, with_vars(scope, vars)) end, fn -> clauses(subject, rest, ast, scope) end)
    end
  end

  defp with_vars(scope, vars), do: %{scope | vars: Map.merge(scope.vars, vars)}

  defp test(pattern, guard, subject, scope) do
    case match(pattern, subject, scope) do
      {:ok, vars} -> guarded(guard, vars, scope)
      :no -> :no
      :maybe -> waiting(pattern, guard, subject, scope)
    end
  end

  defp default_of({:\\, _, [pattern, _]}), do: pattern
  defp default_of(pattern), do: pattern

  defp guarded(nil, vars, _), do: {:yes, vars}

  defp guarded(guard, vars, scope) do
    case eval(guard, with_vars(scope, vars)) do
      none when none in [nil, false] -> :no
      %Code{ast: {:is_binary, _, [inner]}} = code -> {%{code | ast: inner}, vars}
      %Code{} = code -> {code, vars}
      %Choice{} = choice -> {%Code{ast: Value.quoted(choice), problems: Value.problems(choice)}, vars}
      _ -> {:yes, vars}
    end
  end

  # A pattern that is met or not when the project runs.
  defp waiting(pattern, guard, subject, scope) do
    case tests(pattern, subject, scope) do
      {:ok, tests, vars} ->
        case {Enum.reduce(tests, nil, &conjunction/2), guarded(guard, vars, scope)} do
          {_, :no} -> :no
          {nil, decided} -> decided
          {test, {:yes, vars}} -> {test, vars}
          {test, {more, vars}} -> {conjunction(more, test), vars}
        end

      :no ->
        :no

      :unknown ->
        place = Scope.place(scope, pattern)
        vars = for name <- variables(pattern), into: %{}, do: {name, unknown_variable(name, scope, pattern)}
        {%Code{ast: {:unknown, [], [place]}, place: place, problems: ["a pattern"]}, vars}
    end
  end

  defp conjunction(test, nil), do: test

  defp conjunction(test, other),
    do: %Code{
      ast: {:and, [], [other.ast, test.ast]},
      place: test.place,
      problems: Enum.uniq(test.problems ++ other.problems)
    }

  defp tests({:{}, _, patterns}, subject, scope) when is_tuple(subject) and length(patterns) == tuple_size(subject) do
    Enum.zip(patterns, Tuple.to_list(subject))
    |> Enum.reduce_while({:ok, [], %{}}, fn {pattern, value}, {:ok, tests, vars} ->
      case match(pattern, value, scope) do
        {:ok, more} ->
          {:cont, {:ok, tests, Map.merge(vars, more)}}

        :no ->
          {:halt, :no}

        :maybe ->
          case tests(pattern, value, scope) do
            {:ok, more, bound} -> {:cont, {:ok, tests ++ more, Map.merge(vars, bound)}}
            other -> {:halt, other}
          end
      end
    end)
  end

  defp tests(literal, %Choice{} = one, scope) when is_binary(literal) or is_number(literal) or is_atom(literal) do
    tests(literal, %Code{ast: Value.quoted(one), place: Value.place(one), problems: Value.problems(one)}, scope)
  end

  defp tests(nil, %Code{} = code, _), do: {:ok, [%{code | ast: {:is_nil, [], [code.ast]}}], %{}}

  # `{:ok, value}` of System.fetch_env/1
  defp tests({:ok, pattern}, %Code{ast: {{:., _, [{:__aliases__, _, [:System]}, :fetch_env]}, _, [name]}} = code, scope) do
    read = %{code | ast: {{:., [], [{:__aliases__, [], [:System]}, :get_env]}, [], [name]}}

    case match(pattern, read, scope) do
      {:ok, vars} ->
        {:ok, [read], vars}

      :maybe ->
        with {:ok, tests, vars} <- tests(pattern, read, scope), do: {:ok, [read | tests], vars}

      :no ->
        :no
    end
  end

  defp tests(:error, %Code{ast: {{:., _, [{:__aliases__, _, [:System]}, :fetch_env]}, _, [name]}} = code, _),
    do: {:ok, [%{code | ast: {:is_nil, [], [{{:., [], [{:__aliases__, [], [:System]}, :get_env]}, [], [name]}]}}], %{}}

  defp tests(literal, %Code{} = code, _) when is_binary(literal) or is_number(literal) or is_atom(literal),
    do: {:ok, [%{code | ast: {:==, [], [code.ast, literal]}}], %{}}

  defp tests({:=, _, [{_, _, context} = var, pattern]}, value, scope) when is_atom(context) do
    with {:ok, tests, vars} <- tests(pattern, value, scope),
         {:ok, more} <- match(var, value, scope),
         do: {:ok, tests, Map.merge(vars, more)}
  end

  defp tests(_, _, _), do: :unknown

  # --- Patterns ---

  @doc false
  def match({:when, _, [pattern | _]}, value, scope), do: match(pattern, value, scope)
  def match({:\\, _, [pattern, _]}, value, scope), do: match(pattern, value, scope)
  def match({:_, _, context}, _, _) when is_atom(context), do: {:ok, %{}}
  def match({:^, _, [var]}, value, scope), do: same(eval(var, scope), value)

  def match({:=, _, [one, other]}, value, scope) do
    with {:ok, vars} <- match(one, value, scope),
         {:ok, more} <- match(other, value, scope),
         do: {:ok, Map.merge(vars, more)}
  end

  def match({:__aliases__, _, _} = name, value, scope), do: same(eval(name, scope), value)
  def match({:@, _, _} = attribute, value, scope), do: same(eval(attribute, scope), value)
  def match({name, _, context}, value, _) when is_atom(name) and is_atom(context), do: {:ok, %{name => value}}

  def match(literal, value, _) when is_atom(literal) or is_number(literal) or is_binary(literal),
    do: same(literal, value)

  def match(_, %Code{}, _), do: :maybe
  def match(_, %Choice{}, _), do: :maybe
  def match({a, b}, value, scope), do: match({:{}, [], [a, b]}, value, scope)

  def match({:{}, _, patterns}, value, scope) do
    if is_tuple(value) and tuple_size(value) == length(patterns),
      do: all(patterns, Tuple.to_list(value), scope),
      else: :no
  end

  def match([{:|, _, [head, tail]}], [first | rest], scope), do: all([head, tail], [first, rest], scope)

  def match(patterns, value, scope) when is_list(patterns) do
    if is_list(value) and length(value) == length(patterns) and not match?([{:|, _, _} | _], Enum.reverse(patterns)),
      do: all(patterns, value, scope),
      else: :no
  end

  def match({:%{}, _, pairs}, value, scope) when is_map(value) do
    Enum.reduce_while(pairs, {:ok, %{}}, fn {key, pattern}, {:ok, vars} ->
      case is_atom(key) and Map.fetch(value, key) do
        {:ok, one} -> combined(match(pattern, one, scope), vars)
        :error -> {:halt, :no}
        false -> {:halt, :maybe}
      end
    end)
  end

  def match({:<>, _, [prefix, rest]}, value, scope) when is_binary(prefix) and is_binary(value) do
    if String.starts_with?(value, prefix),
      do: match(rest, binary_part(value, byte_size(prefix), byte_size(value) - byte_size(prefix)), scope),
      else: :no
  end

  def match(_, _, _), do: :maybe

  defp all(patterns, values, scope) do
    patterns
    |> Enum.zip(values)
    |> Enum.reduce_while({:ok, %{}}, fn {pattern, value}, {:ok, vars} ->
      combined(match(pattern, value, scope), vars)
    end)
  end

  defp combined({:ok, more}, vars), do: {:cont, {:ok, Map.merge(vars, more)}}
  defp combined(other, _), do: {:halt, other}

  defp same(literal, value) do
    cond do
      literal == value -> {:ok, %{}}
      Value.known?(value) and Value.known?(literal) -> :no
      true -> :maybe
    end
  end

  @doc false
  def variables(pattern) do
    {_, names} =
      Macro.prewalk(pattern, [], fn
        {name, _, context} = node, names when is_atom(name) and is_atom(context) and name != :_ ->
          {node, [name | names]}

        node, names ->
          {node, names}
      end)

    Enum.uniq(names)
  end

  # --- Text ---

  defp interpolated(parts, scope) do
    values =
      Enum.map(parts, fn
        text when is_binary(text) -> text
        {:"::", _, [{{:., _, [Kernel, :to_string]}, _, [one]}, {:binary, _, _}]} -> {:of, eval(one, scope)}
        other -> {:of, code(other, scope)}
      end)

    if Enum.all?(values, fn
         {:of, value} -> is_binary(value) or is_atom(value) or is_number(value)
         text -> is_binary(text)
       end) do
      Enum.map_join(values, fn
        {:of, value} -> to_string(value)
        text -> text
      end)
    else
      {:parts,
       Enum.map(values, fn
         {:of, value} -> value
         text -> text
       end)}
    end
  end

  defp part(text) when is_binary(text), do: text

  defp part(value),
    do: {:"::", [], [{{:., [], [Kernel, :to_string]}, [], [Value.quoted(value)]}, {:binary, [], nil}]}

  @doc "Text in which values stand, some of which wait: as it would be written with `\#{}`."
  @spec text([Value.t()]) :: Value.t()
  def text(parts) do
    if Enum.all?(parts, &(is_binary(&1) or is_atom(&1) or is_number(&1))),
      do: Enum.map_join(parts, &to_string/1),
      else: %Code{
        ast: {:<<>>, [], Enum.map(parts, &part/1)},
        place: Value.place(parts),
        problems: Value.problems(parts)
      }
  end

  defp words(list, modifiers) do
    case modifiers do
      ~c"a" -> Enum.map(list, &String.to_atom/1)
      ~c"c" -> Enum.map(list, &String.to_charlist/1)
      _ -> list
    end
  end

  defp raised([{:__aliases__, _, _} | _]), do: "not configured"
  defp raised(_), do: "not configured"

  # --- Code ---

  # The same node with values instead of arguments.
  defp rebuild({:<<>>, _, _} = built, values, ast, scope), do: call(built, values, ast, scope)

  defp rebuild({function, _, _}, values, ast, scope),
    do: call({plain(function), [], Enum.map(values, &Value.quoted/1)}, values, ast, scope)

  defp with_place(%Code{place: nil} = code, ast, scope), do: %{code | place: Scope.place(scope, ast)}
  defp with_place(value, _, _), do: value

  @doc "An expression that is kept, with the variables and attributes in it replaced by what they stand for."
  @spec code(Macro.t(), Scope.t()) :: Code.t()
  def code(ast, scope) do
    bound = bound(ast)

    {built, problems} =
      Macro.prewalk(ast, [], fn
        {:@, _, [{name, _, context}]} = node, problems when is_atom(context) ->
          case scope.attrs do
            %{^name => value} -> {sealed(Value.quoted(value)), problems ++ Value.problems(value)}
            _ -> {node, ["the attribute @#{name}" | problems]}
          end

        {:__aliases__, _, _} = node, problems ->
          {{:__aliases__, [], Scope.expand(scope, node) || elem(node, 2)}, problems}

        {:sealed, [], [_]} = node, problems ->
          {node, problems}

        {name, _, context} = node, problems when is_atom(name) and is_atom(context) ->
          cond do
            name in bound or name in [:_, :__MODULE__, :binary] -> {node, problems}
            value = scope.vars[name] -> {sealed(Value.quoted(value)), problems ++ Value.problems(value)}
            Map.has_key?(scope.vars, name) -> {nil, problems}
            true -> {node, ["the variable #{name}" | problems]}
          end

        {name, _, arguments} = node, problems when is_atom(name) and is_list(arguments) ->
          if Map.has_key?(scope.functions, {name, length(arguments)}),
            do: {node, ["the function #{name}/#{length(arguments)}" | problems]},
            else: {node, problems}

        node, problems ->
          {node, problems}
      end)

    %Code{ast: built |> unsealed() |> plain(), place: Scope.place(scope, ast), problems: Enum.uniq(problems)}
  end

  # What was put in is not gone through again.
  defp sealed(ast) when is_tuple(ast) or is_list(ast), do: {:sealed, [], [fn -> ast end]}
  defp sealed(ast), do: ast

  defp unsealed(ast) do
    Macro.prewalk(ast, fn
      {:sealed, [], [inner]} when is_function(inner) -> inner.()
      node -> node
    end)
  end

  @doc "The expression without the places of its parts, so that two can be compared."
  @spec plain(Macro.t()) :: Macro.t()
  def plain(ast) do
    Macro.prewalk(ast, fn
      {name, meta, arguments} when is_list(meta) -> {name, Keyword.take(meta, [:no_parens]), arguments}
      node -> node
    end)
  end

  # The variables that the expression binds itself.
  defp bound(ast) do
    {_, names} =
      Macro.prewalk(ast, [], fn
        {:->, _, [patterns, _]} = node, names -> {node, variables(patterns) ++ names}
        {operator, _, [pattern, _]} = node, names when operator in [:=, :<-] -> {node, variables(pattern) ++ names}
        node, names -> {node, names}
      end)

    names
  end
end
