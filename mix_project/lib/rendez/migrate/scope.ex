defmodule Rendez.Migrate.Scope do
  @moduledoc """
  Where an expression stands: the names that it can use, and the environment that the project is read for.

    * `vars`, `attrs`, `aliases` - variables, module attributes and aliases, with their values; `written` - the attributes as
      they are written;
    * `functions` - of the module: `{name, number of arguments}` to clauses `{parameters, guard, body}`;
    * `modules` - the scopes of all modules of the project, by name;
    * `origins` - of a variable, the configured keys that its value was read from;
    * `lookup` - what the project's configuration says of an application's key: `{:ok, value}` or `:error`; `keys` - which keys
      it says something of.
  """
  defstruct file: "",
            root: ".",
            env: :prod,
            target: :host,
            module: nil,
            vars: %{},
            attrs: %{},
            written: %{},
            aliases: %{},
            functions: %{},
            modules: %{},
            origins: %{},
            lookup: nil,
            keys: nil,
            depth: 0

  @type t :: %__MODULE__{}

  @doc "Where a node of the syntax tree stands, as `file:line`."
  @spec place(t(), Macro.t()) :: String.t()
  def place(scope, ast) do
    {_, line} =
      Macro.prewalk(ast, nil, fn
        {_, meta, _} = node, nil when is_list(meta) -> {node, meta[:line]}
        node, line -> {node, line}
      end)

    if line, do: "#{scope.file}:#{line}", else: scope.file
  end

  @doc "Takes in `alias`, in each of its forms."
  @spec alias(t(), Macro.t()) :: t()
  def alias(scope, {:alias, _, [{{:., _, [base, :{}]}, _, parts}]}),
    do: Enum.reduce(parts, scope, fn {:__aliases__, _, last}, scope -> add(scope, joined(scope, base, last), nil) end)

  def alias(scope, {:alias, _, [{:__aliases__, _, _} = name | options]}) do
    named =
      case options do
        [[as: {:__aliases__, _, [named]}]] -> named
        _ -> nil
      end

    add(scope, expand(scope, name), named)
  end

  def alias(scope, _), do: scope

  defp add(scope, nil, _), do: scope

  defp add(scope, parts, named),
    do: %{scope | aliases: Map.put(scope.aliases, named || List.last(parts), parts)}

  defp joined(scope, base, last) do
    case expand(scope, base) do
      nil -> nil
      parts -> parts ++ last
    end
  end

  @doc "The parts of a module's name, with aliases resolved; `nil` where it is not a plain name."
  @spec expand(t(), Macro.t()) :: [atom()] | nil
  def expand(scope, {:__MODULE__, _, _}), do: scope.module
  def expand(_, {:__aliases__, _, [:"Elixir" | parts]}), do: parts

  def expand(scope, {:__aliases__, _, [first | rest]}) when is_atom(first) do
    case scope.aliases do
      %{^first => parts} -> parts ++ rest
      _ -> [first | rest]
    end
  end

  def expand(%{module: [_ | _] = parts}, {:__aliases__, _, [{:__MODULE__, _, _} | rest]}), do: parts ++ rest
  def expand(_, _), do: nil
end
