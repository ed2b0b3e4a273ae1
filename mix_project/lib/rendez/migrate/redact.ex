defmodule Rendez.Migrate.Redact do
  @moduledoc """
  Whether an expression may be printed: not where it may hold a secret.

  A text is printed where it is known what it is for: the name of a variable of the machine, or an argument of a function
  that only works on text. What is given to a function of the project's may be a password, and so may the default of a
  variable whose name says so.
  """
  alias Rendez.Migrate.Value

  @names ~r/secret|passw|token|cookie|credential|api_?key|access_?key|private|auth|salt|pwd/i

  # What these do is known: they compute with what they are given.
  @plain [:System, :String, :Integer, :Enum, :List, :Keyword, :Map, :Application, :Atom, :Path, :File, :Kernel, :Float]
  @plain_erlang [:timer, :inet, :lists, :string, :erlang]

  @doc "Whether a name says that what it names is a secret."
  @spec secret_name?(term()) :: boolean()
  def secret_name?(name) when is_atom(name) or is_binary(name), do: to_string(name) =~ @names
  def secret_name?(_), do: false

  @doc "Whether the value can be printed."
  @spec printable?(Value.t()) :: boolean()
  def printable?(value), do: value |> Value.quoted() |> ast?()

  defp ast?(ast) do
    {_, fine} = Macro.prewalk(ast, true, fn node, fine -> {node, fine and node?(node)} end)
    fine
  end

  # Variables of the machine: only the default can be a secret.
  defp node?({{:., _, [{:__aliases__, _, [:System]}, _]}, _, [name | default]}),
    do: default in [[], [nil], [""]] or not secret_name?(name) or not texts?(default)

  defp node?({{:., _, [{:__aliases__, _, [module]}, _]}, _, _}) when module in @plain, do: true
  defp node?({{:., _, [module, _]}, _, _}) when module in @plain_erlang, do: true
  defp node?({{:., _, [Kernel, _]}, _, _}), do: true
  defp node?({{:., _, [{:__aliases__, _, _}, _]}, _, arguments}), do: not texts?(arguments)
  defp node?({{:., _, [module, _]}, _, arguments}) when is_atom(module), do: not texts?(arguments)

  # `secret: "..."`, and a comparison with what is called like one.
  defp node?({key, value}) when is_atom(key), do: not (secret_name?(key) and texts?(value))

  defp node?({operator, _, [one, other]}) when operator in [:==, :!=, :===, :in, :=~],
    do: not ((named_secret?(one) and texts?(other)) or (named_secret?(other) and texts?(one)))

  # `env!("QUERY", :string)`: a variable's name, to a function that reads variables.
  defp node?({name, _, [<<first, _::binary>> = variable | rest]}) when is_atom(name) and first in ?A..?Z do
    if to_string(name) =~ "env" and variable =~ ~r/^[A-Z][A-Z0-9_]*$/,
      do: not (secret_name?(variable) and texts?(rest)),
      else: Macro.operator?(name, length(rest) + 1) or name in known() or not texts?([variable | rest])
  end

  # A call of a function of the project's own.
  defp node?({name, _, arguments}) when is_atom(name) and is_list(arguments),
    do: Macro.operator?(name, length(arguments)) or name in known() or not texts?(arguments)

  defp node?(_), do: true

  defp known do
    [
      :if,
      :unless,
      :case,
      :cond,
      :for,
      :with,
      :<-,
      :..,
      :<<>>,
      :{},
      :%{},
      :%,
      :"::",
      :__aliases__,
      :__block__,
      :|,
      :fn,
      :->,
      :.,
      :&,
      :do,
      :binary
    ] ++
      [
        :to_string,
        :to_charlist,
        :is_nil,
        :raise,
        :div,
        :rem,
        :in,
        :when,
        :sigil_w,
        :sigil_c,
        :sigil_s,
        :sigil_r,
        :max,
        :min
      ]
  end

  defp named_secret?(ast) do
    {_, found} =
      Macro.prewalk(ast, false, fn
        text, found when is_binary(text) -> {text, found or secret_name?(text)}
        {name, _, _} = node, found when is_atom(name) -> {node, found or secret_name?(name)}
        node, found -> {node, found}
      end)

    found
  end

  # Text that is not the name of a variable of the machine.
  defp texts?(ast) do
    {_, found} =
      Macro.prewalk(ast, false, fn
        {{:., _, [{:__aliases__, _, [:System]}, _]}, _, [_ | default]}, found -> {default, found}
        text, found when is_binary(text) and text != "" -> {text, found or String.trim(text) != ""}
        [char | _] = charlist, found when is_integer(char) -> {charlist, found or List.ascii_printable?(charlist)}
        node, found -> {node, found}
      end)

    found
  end
end
