defmodule Rendez.Migrate.Value do
  @moduledoc """
  What an expression of a project stands for, as far as it can be read off without running it.

  A value is a plain term where it is known. Two structs stand for what is known only when the project runs, alone or
  inside lists, tuples and maps:

    * `Code` - an expression that can be written elsewhere as it is. `problems` says what it uses that exists only where
      it stands, such as a local variable; then it cannot be carried over;
    * `Choice` - one of two values, by a test that is `Code`.
  """

  defmodule Code do
    @moduledoc false
    defstruct [:ast, place: nil, problems: []]
    @type t :: %__MODULE__{ast: Macro.t(), place: String.t() | nil, problems: [String.t()]}
  end

  defmodule Choice do
    @moduledoc false
    defstruct [:test, :then, :else]
  end

  @type t :: term()
  @type guard :: {Code.t(), boolean()}

  @doc "Whether no part of `value` has to wait for the project to run."
  @spec known?(t()) :: boolean()
  def known?(%Code{}), do: false
  def known?(%Choice{}), do: false
  def known?([head | tail]), do: known?(head) and known?(tail)
  def known?(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> known?()
  def known?(%_{} = struct), do: struct |> Map.from_struct() |> known?()
  def known?(map) when is_map(map), do: map |> Map.to_list() |> known?()
  def known?(_), do: true

  @doc "The value as an expression."
  @spec quoted(t()) :: Macro.t()
  def quoted(%Code{ast: ast}), do: ast

  def quoted(%Choice{test: %Code{ast: test}, then: %Code{ast: test}, else: other}),
    do: {:||, [], [test, quoted(other)]}

  def quoted(%Choice{test: test, then: value, else: nil}), do: {:if, [], [test.ast, [do: quoted(value)]]}

  def quoted(%Choice{test: test, then: value, else: other}),
    do: {:if, [], [test.ast, [do: quoted(value), else: quoted(other)]]}

  def quoted({a, b}), do: {quoted(a), quoted(b)}
  def quoted([head | tail]) when is_list(tail), do: [quoted(head) | quoted(tail)]
  def quoted([head | tail]), do: [{:|, [], [quoted(head), quoted(tail)]}]
  def quoted(tuple) when is_tuple(tuple), do: {:{}, [], tuple |> Tuple.to_list() |> Enum.map(&quoted/1)}
  def quoted(%_{} = struct), do: Macro.escape(struct)
  def quoted(map) when is_map(map), do: {:%{}, [], for({key, value} <- map, do: {quoted(key), quoted(value)})}
  def quoted(value), do: Macro.escape(value)

  @doc "What keeps the value from being written elsewhere."
  @spec problems(t()) :: [String.t()]
  def problems(value), do: value |> gather(& &1.problems) |> Enum.uniq()

  @doc "The first place that a part of the value which has to wait comes from."
  @spec place(t()) :: String.t() | nil
  def place(value), do: value |> gather(&List.wrap(&1.place)) |> List.first()

  @doc "Collects from every piece of code inside `value`."
  @spec gather(t(), (Code.t() -> [term()])) :: [term()]
  def gather(%Code{} = code, what), do: what.(code)
  def gather(%Choice{} = one, what), do: what.(one.test) ++ gather(one.then, what) ++ gather(one.else, what)
  def gather([head | tail], what), do: gather(head, what) ++ gather(tail, what)
  def gather(tuple, what) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> gather(what)
  def gather(%_{}, _), do: []
  def gather(map, what) when is_map(map), do: map |> Map.to_list() |> gather(what)
  def gather(_, _), do: []

  @doc "A choice, or the one value where both are the same."
  @spec choice(Code.t(), t(), t()) :: t()
  def choice(_test, same, same), do: same

  def choice(test, value, other),
    do: %Choice{test: test, then: decided(value, test, true), else: decided(other, test, false)}

  # What the test decided is decided in its branches.
  defp decided(%Choice{test: %Code{ast: ast}} = one, %Code{ast: ast}, truth),
    do: if(truth, do: one.then, else: one.else)

  defp decided(value, _, _), do: value

  @doc "Makes `change` of the value, within the branches of a choice where it is one."
  @spec map(t(), (t() -> t())) :: t()
  def map(%Choice{} = one, change), do: choice(one.test, map(one.then, change), map(one.else, change))
  def map(value, change), do: change.(value)

  @most 24

  @doc """
  The values that it can be, each with the tests that lead there, where `deep` says in which parts of a value choices
  are looked for as well: one that is left inside stays an expression.
  """
  @spec alternatives(t(), (t() -> boolean())) :: [{[guard()], t()}]
  def alternatives(value, deep \\ fn _ -> false end), do: value |> split([], deep) |> Enum.take(@most)

  # What an enclosing test decided is decided within it as well.
  defp split(%Choice{test: test} = one, known, deep) do
    case Enum.find(known, fn {other, _} -> other.ast == test.ast end) do
      {_, true} ->
        split(one.then, known, deep)

      {_, false} ->
        split(one.else, known, deep)

      nil ->
        for {truth, branch} <- [{true, one.then}, {false, one.else}],
            {guards, value} <- split(branch, known ++ [{test, truth}], deep),
            do: {[{test, truth} | guards], value}
    end
  end

  defp split([head | tail] = list, known, deep) do
    if deep.(list) do
      for {first, head} <- split(head, known, deep), {second, tail} <- split(tail, known ++ first, deep) do
        {first ++ second, [head | tail]}
      end
    else
      [{[], list}]
    end
  end

  defp split({key, value}, known, deep) do
    if deep.({key, value}),
      do: for({guards, value} <- split(value, known, deep), do: {guards, {key, value}}),
      else: [{[], {key, value}}]
  end

  defp split(value, _, _), do: [{[], value}]

  @doc "Whether the code is, or may be, `nil` when it runs: a variable of the machine that is read without a default."
  @spec nil?(t()) :: boolean()
  def nil?(%Code{ast: {{:., _, [{:__aliases__, _, [:System]}, :get_env]}, _, [_]}}), do: true
  def nil?(_), do: false

  @doc "Whether the code is neither `nil` nor `false` when it runs, whatever the machine says."
  @spec always?(t()) :: boolean()
  def always?(%Code{ast: ast}), do: truthy?(ast)
  def always?(_), do: false

  defp truthy?({operator, _, [_ | _]}) when operator in [:<>, :<<>>, :++, :+, :-, :*, :div, :to_string], do: true
  defp truthy?({{:., _, [{:__aliases__, _, [:System]}, :fetch_env!]}, _, _}), do: true
  defp truthy?({{:., _, [{:__aliases__, _, [:System]}, :get_env]}, _, [_, default]}), do: default not in [nil, false]

  defp truthy?({{:., _, [{:__aliases__, _, [:String]}, function]}, _, _}),
    do: not String.ends_with?(to_string(function), "?")

  defp truthy?({{:., _, [{:__aliases__, _, [:Enum]}, function]}, _, _})
       when function in [:map, :filter, :reject, :flat_map, :uniq],
       do: true

  defp truthy?({:||, _, [_, other]}), do: truthy?(other)
  defp truthy?(literal) when is_binary(literal) or is_number(literal), do: true
  defp truthy?(_), do: false

  @doc "Whether the value reads the machine that the project runs on."
  @spec runtime?(t()) :: boolean()
  def runtime?(value) do
    value
    |> gather(fn %Code{ast: ast} -> [calls?(ast, [:System, :File])] end)
    |> Enum.any?()
  end

  @doc "Whether the expression calls one of the modules."
  @spec calls?(Macro.t(), [atom()]) :: boolean()
  def calls?(ast, modules) do
    {_, found} =
      Macro.prewalk(ast, false, fn
        {:., _, [{:__aliases__, _, [module]}, _]} = node, found -> {node, found or module in modules}
        node, found -> {node, found}
      end)

    found
  end
end
