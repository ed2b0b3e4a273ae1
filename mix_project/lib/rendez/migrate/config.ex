defmodule Rendez.Migrate.Config do
  @moduledoc """
  Reads `config/*.exs` as Mix does, one file after the other, without running them.

  What is read is a list of entries in order, `{app, key, value, guards, place}`: the value counts where all guards hold.
  `value/3` says what comes of all of them.
  """
  alias Rendez.Migrate.{Eval, Scope, Value}
  alias Rendez.Migrate.Value.Choice

  @type entry :: {atom(), atom(), Value.t(), [Value.guard()], String.t()}
  @type t :: %{entries: [entry()], unread: [String.t()], files: [String.t()]}

  @doc "Reads the files, which are relative to the root of `scope`."
  @spec read([Path.t()], Scope.t()) :: t()
  def read(files, scope) do
    state = Enum.reduce(files, %{entries: [], unread: [], files: []}, &file(&1, &2, scope, []))
    %{entries: Enum.reverse(state.entries), unread: Enum.reverse(state.unread), files: Enum.reverse(state.files)}
  end

  @doc "What the entries make of the key of an application."
  @spec value([entry()], atom(), atom()) :: {:ok, Value.t()} | :error
  def value(entries, app, key) do
    case for {^app, ^key, value, guards, _} <- entries, do: {value, guards} do
      [] -> :error
      several -> {:ok, Enum.reduce(several, nil, &over/2)}
    end
  end

  @doc "The last place that says something of the key."
  @spec place([entry()], atom(), atom()) :: String.t() | nil
  def place(entries, app, key), do: List.last(for {^app, ^key, _, _, place} <- entries, do: place)

  defp over({value, guards}, before) do
    guards
    |> Enum.reverse()
    |> Enum.reduce(merge(before, value), fn
      {test, true}, value -> Value.choice(test, value, before)
      {test, false}, value -> Value.choice(test, before, value)
    end)
  end

  # A later list of options goes over an earlier one, key by key.
  defp merge(%Choice{} = one, value), do: Value.choice(one.test, merge(one.then, value), merge(one.else, value))
  defp merge(before, %Choice{} = one), do: Value.choice(one.test, merge(before, one.then), merge(before, one.else))

  defp merge([_ | _] = before, value) when is_list(value) do
    if Keyword.keyword?(before) and Keyword.keyword?(value),
      do: Keyword.merge(before, value, fn _, one, other -> merge(one, other) end),
      else: value
  end

  defp merge(_, value), do: value

  # --- Files ---

  defp file(file, state, scope, guards) do
    path = Path.expand(file, scope.root)
    file = Path.relative_to(path, Path.expand(scope.root))

    cond do
      file in state.files ->
        state

      not File.regular?(path) ->
        unread(state, "#{file} is not there")

      true ->
        state = %{state | files: [file | state.files]}

        case path
             |> File.read!()
             |> Elixir.Code.string_to_quoted(warn_on_unnecessary_quotes: false, emit_warnings: false) do
          {:ok, ast} -> ast |> statements(state, %{scope | file: file}, guards) |> elem(0)
          {:error, {where, _, _}} -> unread(state, "#{file}: a syntax error on line #{line(where)}")
        end
    end
  end

  @doc "The line of a syntax error."
  @spec line(keyword() | pos_integer()) :: pos_integer()
  def line(where) when is_list(where), do: where[:line]
  def line(where), do: where

  defp unread(state, text), do: %{state | unread: [text | state.unread]}

  # --- Statements ---

  defp statements({:__block__, _, list}, state, scope, guards) do
    Enum.reduce(list, {state, scope}, fn one, {state, scope} -> statements(one, state, scope, guards) end)
  end

  defp statements({{:., _, [{:__aliases__, _, [:Config]}, function]}, meta, arguments}, state, scope, guards),
    do: statements({function, meta, arguments}, state, scope, guards)

  defp statements({:config, _, [app, options]} = ast, state, scope, guards) do
    case {Eval.eval(app, scope), Eval.eval(options, scope)} do
      {app, options} when is_atom(app) and is_list(options) ->
        {Enum.reduce(options, state, fn
           {key, value}, state when is_atom(key) -> entry(state, app, key, value, guards, ast, scope)
           _, state -> state
         end), scope}

      {app, %Choice{} = choice} when is_atom(app) ->
        {for {more, options} <- Value.alternatives(choice), is_list(options), {key, value} <- options, reduce: state do
           state -> entry(state, app, key, value, guards ++ more, ast, scope)
         end, scope}

      {app, _} when is_atom(app) ->
        {about(state, app, ast, scope), scope}

      _ ->
        {unread(state, "#{Scope.place(scope, ast)}: it configures an application whose name is not a literal"), scope}
    end
  end

  defp statements({:config, _, [app, key, value]} = ast, state, scope, guards) do
    case {Eval.eval(app, scope), Eval.eval(key, scope)} do
      {app, key} when is_atom(app) and is_atom(key) ->
        {entry(state, app, key, Eval.eval(value, scope), guards, ast, scope), scope}

      {app, _} when is_atom(app) ->
        {about(state, app, ast, scope), scope}

      _ ->
        {unread(state, "#{Scope.place(scope, ast)}: it configures an application whose name is not a literal"), scope}
    end
  end

  defp statements({:import_config, _, [path]} = ast, state, scope, guards) do
    case Eval.eval(path, scope) do
      path when is_binary(path) -> {imported(path, ast, state, scope, guards), scope}
      _ -> {unread(state, "#{Scope.place(scope, ast)}: it imports a file whose name is known only when it runs"), scope}
    end
  end

  defp statements({kind, _, [test, branches]}, state, scope, guards)
       when kind in [:if, :unless] and is_list(branches) do
    {value, inside} = Eval.exec(test, scope)
    {yes, no} = if kind == :if, do: {branches[:do], branches[:else]}, else: {branches[:else], branches[:do]}

    state =
      for {more, decided} <- Value.alternatives(Eval.either(value, fn -> true end, fn -> false end)), reduce: state do
        state -> branch(if(decided, do: yes, else: no), state, inside, guards ++ more)
      end

    {state, scope}
  end

  defp statements({:cond, _, [[do: clauses]]}, state, scope, guards) do
    clauses
    |> Enum.reverse()
    |> Enum.reduce(nil, fn {:->, _, [[test], body]}, rest -> {:if, [], [test, [do: body, else: rest]]} end)
    |> statements(state, scope, guards)
  end

  # Which clause holds is what a `case` that only says so would say.
  defp statements({:case, meta, [subject, [do: clauses]]}, state, scope, guards) do
    numbered = for {{:->, arrow, [patterns, _]}, index} <- Enum.with_index(clauses), do: {:->, arrow, [patterns, index]}

    state =
      for {more, index} <- Value.alternatives(Eval.eval({:case, meta, [subject, [do: numbered]]}, scope)),
          is_integer(index),
          reduce: state do
        state ->
          {:->, _, [[pattern], body]} = Enum.at(clauses, index)
          inside = Eval.bind(scope, pattern, Eval.eval(subject, scope))
          branch(body, state, inside, guards ++ more)
      end

    {state, scope}
  end

  defp statements({:=, _, _} = ast, state, scope, _), do: {state, ast |> Eval.exec(scope) |> elem(1)}
  defp statements({:alias, _, _} = ast, state, scope, _), do: {state, Scope.alias(scope, ast)}

  # A configuration inside of what is not followed.
  defp statements(ast, state, scope, _) do
    {_, state} =
      Macro.prewalk(ast, state, fn
        {:config, _, [app | _]} = node, state when is_atom(app) -> {node, about(state, app, node, scope)}
        node, state -> {node, state}
      end)

    {state, scope}
  end

  defp branch(nil, state, _, _), do: state
  defp branch(body, state, scope, guards), do: body |> statements(state, scope, guards) |> elem(0)

  defp imported(path, ast, state, scope, guards) do
    base = scope.file |> Path.expand(scope.root) |> Path.dirname()

    files =
      if String.contains?(path, ["*", "{"]),
        do: path |> Path.expand(base) |> Path.wildcard(),
        else: [Path.expand(path, base)]

    case Enum.reject(files, &File.regular?/1) do
      [] ->
        Enum.reduce(files, state, &file(&1, &2, scope, guards))

      _ ->
        unread(state, "#{Scope.place(scope, ast)}: it imports #{Path.basename(path)}, which is not there")
    end
  end

  defp entry(state, app, key, value, guards, ast, scope),
    do: %{state | entries: [{app, key, value, guards, Scope.place(scope, ast)} | state.entries]}

  @ours [:libcluster, :peerage, :gen_cluster, :nodefinder, :dns_cluster]

  defp about(state, app, ast, scope) when app in @ours,
    do: unread(state, "#{Scope.place(scope, ast)}: it configures #{app} in a way that is not followed")

  defp about(state, _, _, _), do: state

  @doc false
  # A value that no entry of this reader says, for a `sys.config`.
  def entries(config, file), do: for({app, env} <- config, {key, value} <- env, do: {app, key, value, [], file})
end
