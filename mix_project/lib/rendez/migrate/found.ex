defmodule Rendez.Migrate.Found do
  @moduledoc """
  One thing that was found in a project, and what becomes of it. Translators build it up, option by option.

    * `title` - what was found; `place` - where;
    * `language` - that of its configuration, and of ours;
    * `name` - of the cluster, where the package had several;
    * `options` - what to configure, in order; `nil` where nothing can be;
    * `guards` - under which conditions;
    * `notes` - what is different from now on, or has to be done by hand;
    * `without_equal` - what was configured and has no equal here, each with the reason or the remedy;
    * `from` - which find it belongs to: those of one find that have other guards never hold together;
    * `file` - where the configuration stood that it was read from.
  """
  alias Rendez.Migrate.{Eval, Redact, Value}
  alias Rendez.Migrate.Value.{Choice, Code}

  defstruct title: "",
            place: nil,
            language: :elixir,
            name: nil,
            options: [],
            guards: [],
            notes: [],
            without_equal: [],
            from: 0,
            file: nil

  @type t :: %__MODULE__{}

  # What a provider does not start without.
  @needed [:dns_name, :selector, :node_list, :via]

  @doc "Something that was found, with nothing said of it yet."
  @spec new(String.t()) :: t()
  def new(title), do: %__MODULE__{title: title}

  @doc "Adds an option. What cannot stand in a configuration is named instead."
  @spec put(t(), atom(), Value.t()) :: t()
  def put(found, _key, nil), do: found
  def put(%{options: nil} = found, _key, _value), do: found

  def put(found, key, value) do
    cond do
      (problems = Value.problems(value)) != [] ->
        found
        |> lost(
          "#{key}: it is computed#{at(value)} from #{Enum.join(problems, ", ")}, which a configuration cannot read. " <>
            by_hand(key)
        )
        |> without(key)

      not Redact.printable?(value) ->
        found
        |> lost(
          "#{key}: it is computed#{at(value)} with a text that may be a secret, so it is not printed. Copy it from there"
        )
        |> without(key)

      true ->
        found = %{found | options: found.options ++ [{key, value}]}
        foreign(found, value)
    end
  end

  defp at(value), do: if(place = Value.place(value), do: " at #{place}", else: "")

  defp by_hand(key),
    do: "Write its value, or start the cluster there: {Rendez, via: ..., #{key}: ...} takes the place of the child"

  defp without(found, key) when key in @needed, do: %{found | options: nil}
  defp without(found, _), do: found

  # Functions of the project that the configuration calls from now on.
  defp foreign(found, value) do
    case calls(value) do
      [] ->
        found

      names ->
        note(
          found,
          "#{Enum.join(names, ", ")} is called while the configuration is read, before any application has started"
        )
    end
  end

  @known [
    :System,
    :String,
    :Integer,
    :Float,
    :Enum,
    :List,
    :Keyword,
    :Map,
    :Path,
    :File,
    :Atom,
    :Tuple,
    :Access,
    :Kernel
  ]

  @doc false
  def calls(value) do
    Value.gather(value, fn %Code{ast: ast} ->
      {_, names} =
        Macro.prewalk(ast, [], fn
          {{:., _, [{:__aliases__, _, [first | _] = parts}, function]}, _, _} = node, names when first not in @known ->
            {node, ["#{Enum.join(parts, ".")}.#{function}" | names]}

          node, names ->
            {node, names}
        end)

      Enum.reverse(names)
    end)
    |> Enum.uniq()
  end

  @doc """
  Adds an option without which its package does nothing: where it may be missing when the project runs, the cluster is
  configured under the condition that it is there.
  """
  @spec needed(t(), atom(), Value.t(), (Value.t() -> Value.t()), String.t()) :: t()
  def needed(found, key, value, change, what) do
    alternatives = Value.alternatives(value)

    case Enum.reject(alternatives, fn {_, value} -> value in [nil, false, :ignore, "", []] end) do
      [] ->
        off(found, "#{what} is not set: it finds no one, and rendez starts nothing without configuration")

      [{guards, one}] ->
        found
        |> guard(guards)
        |> guard(if(is_struct(one, Code) and not Value.always?(one), do: [{one, true}], else: []))
        |> put(key, change.(one))

      several when length(several) == length(alternatives) ->
        put(found, key, change.(value))

      _ ->
        found
        |> guard([{%Code{ast: Value.quoted(value), problems: Value.problems(value)}, true}])
        |> put(key, change.(value))
    end
  end

  @doc "Adds conditions under which it is configured."
  @spec guard(t(), [Value.guard()]) :: t()
  def guard(found, guards) do
    Enum.reduce(guards, found, fn {test, truth} = guard, found ->
      if Enum.any?(found.guards, fn {other, same} -> {other.ast, same} == {test.ast, truth} end),
        do: found,
        else: %{found | guards: found.guards ++ [guard]}
    end)
  end

  @doc "Records that nothing must be configured, and why."
  @spec off(t(), String.t()) :: t()
  def off(found, why), do: note(%{found | options: nil}, why)

  @doc "Adds a note for the user."
  @spec note(t(), String.t()) :: t()
  def note(found, text), do: if(text in found.notes, do: found, else: %{found | notes: found.notes ++ [text]})

  @doc "Adds what has no equal."
  @spec lost(t(), String.t()) :: t()
  def lost(found, text), do: %{found | without_equal: found.without_equal ++ [text]}

  @doc """
  Names the options that nobody has translated: one that is forgotten here is worse than one that is named in vain.
  Values are shown where they are a number, or one of the words that options take.
  """
  @spec rest(t(), keyword(), [atom()], String.t()) :: t()
  def rest(found, options, known, why \\ "rendez knows no such option") do
    options
    |> Enum.reject(fn {key, _} -> key in known end)
    |> Enum.reduce(found, fn {key, value}, found -> lost(found, "#{key}#{shown(key, value)} - #{why}") end)
  end

  @doc "Like `rest/4` for one option with a reason of its own."
  @spec aside(t(), keyword(), atom(), String.t()) :: t()
  def aside(found, options, key, why) do
    if Keyword.has_key?(options, key), do: lost(found, "#{key}#{shown(key, options[key])} - #{why}"), else: found
  end

  # The value of an unknown option may be a password.
  defp shown(key, value) do
    if Redact.secret_name?(key) and not (is_boolean(value) or value in 0..99), do: "", else: shown(value)
  end

  defp shown(value) when is_boolean(value) or is_number(value) or value in [nil, :infinity], do: ": #{inspect(value)}"

  defp shown(value) when is_atom(value),
    do: if(module?(value) or byte_size(Atom.to_string(value)) < 16, do: ": #{inspect(value)}", else: "")

  defp shown({module, function, arguments}) when is_atom(module) and is_atom(function) and is_list(arguments),
    do: ": #{mfa(module, function, arguments)}"

  defp shown({a, b, c, d}) when a in 0..255 and b in 0..255 and c in 0..255 and d in 0..255, do: ": #{a}.#{b}.#{c}.#{d}"

  defp shown(text) when is_binary(text) do
    case :inet.parse_address(String.to_charlist(text)) do
      {:ok, _} -> ": #{inspect(text)}"
      _ -> ""
    end
  end

  defp shown(_), do: ""

  defp module?(atom), do: match?("Elixir." <> _, Atom.to_string(atom))
  defp mfa(module, function, []), do: "{#{inspect(module)}, #{inspect(function)}, []}"
  defp mfa(module, function, _), do: "{#{inspect(module)}, #{inspect(function)}, ...}"

  @doc "Milliseconds as a span of ours: a number is seconds here."
  @spec ms(Value.t(), integer() | nil) :: Value.t()
  def ms(value, default \\ nil)
  def ms(same, same), do: nil
  def ms(ms, _) when is_integer(ms) and rem(ms, 1000) == 0 and ms > 0, do: div(ms, 1000)
  def ms(ms, _) when is_integer(ms) and ms > 0, do: "#{ms}ms"
  def ms(%Code{} = code, _), do: Eval.text([code, "ms"])
  def ms(%Choice{} = choice, _), do: Eval.text([choice, "ms"])
  def ms(_, _), do: nil

  @doc "The time between two looks, from milliseconds."
  @spec every(t(), Value.t(), integer() | nil) :: t()
  def every(found, value, default \\ nil) do
    if is_integer(value) and value <= 0,
      do: note(found, "the time between two looks is above zero here; without interval it is the default"),
      else: put(found, :interval, ms(value, default))
  end

  @doc "Text, however the package takes it."
  @spec text(Value.t()) :: Value.t()
  def text(value) when value in [nil, true, false], do: nil
  def text(atom) when is_atom(atom), do: Atom.to_string(atom)
  def text([_ | _] = charlist), do: if(List.ascii_printable?(charlist), do: List.to_string(charlist), else: charlist)
  def text(other), do: other

  @doc "An address, as a tuple or as text."
  @spec address(Value.t()) :: Value.t()
  def address(ip) when is_tuple(ip) and tuple_size(ip) in [4, 8] do
    if Enum.all?(Tuple.to_list(ip), &is_integer/1), do: ip |> :inet.ntoa() |> to_string(), else: ip
  end

  def address(other), do: text(other)

  @doc "`address:port`, where each may be known only when the project runs."
  @spec socket(Value.t(), Value.t()) :: Value.t()
  def socket(address, port) when is_binary(address) do
    if String.contains?(address, ":"), do: Eval.text(["[", address, "]:", port]), else: Eval.text([address, ":", port])
  end

  def socket(address, port), do: Eval.text([address, ":", port])

  @doc "A secret, which is never printed: only a variable of the machine that has it."
  @spec secret(t(), atom(), Value.t()) :: t()
  def secret(found, _key, value) when value in [nil, false], do: found

  def secret(found, key, %Code{ast: {{:., _, [{:__aliases__, _, [:System]}, read]}, _, [name]}} = code)
      when is_binary(name) and read in [:get_env, :fetch_env!],
      do: put(found, key, code)

  def secret(found, key, value) do
    case variable(value) do
      nil ->
        found
        |> put(key, fetched({:secret, key}))

      name ->
        found
        |> put(key, fetched(name))
        |> note("the secret that is used where #{name} is not set is not printed: set #{name} everywhere")
    end
  end

  defp fetched(name), do: %Code{ast: {{:., [], [{:__aliases__, [], [:System]}, :fetch_env!]}, [], [name]}}

  # `System.get_env("X", "secret")`, `System.get_env("X") || "secret"`
  defp variable(%Code{ast: {{:., _, [{:__aliases__, _, [:System]}, :get_env]}, _, [name | _]}}) when is_binary(name),
    do: name

  defp variable(%Choice{test: %Code{} = test}), do: variable(test)
  defp variable(_), do: nil
end
