defmodule Rendez.Migrate.Plan do
  @moduledoc """
  Puts together what was found: one configuration, in which every cluster has a name where there are several, and its own
  secret. What Rendez would refuse to start is not part of it.
  """
  alias Rendez.Migrate.{Found, Redact, Value}
  alias Rendez.Migrate.Value.Code

  @type t :: %{found: [Found.t()], is_flat: boolean(), language: :elixir | :erlang}

  # Registered by OTP or by rendez: a cluster cannot have such a name.
  @taken [
           :init,
           :user,
           :logger,
           :rendez_sup,
           :rendez_events,
           :kernel_sup,
           :application_controller,
           :code_server,
           :global_group
         ] ++
           [
             :erl_epmd,
             :auth,
             :net_kernel,
             :net_sup,
             :rex,
             :inet_db,
             :file_server_2,
             :erts_code_purger,
             :erl_prim_loader,
             :pg
           ]

  @doc "The configuration for what was found."
  @spec make([Found.t()]) :: t()
  def make(found) do
    language = if found != [] and Enum.all?(found, &(&1.language == :erlang)), do: :erlang, else: :elixir
    found = found |> Enum.map(&guarded/1) |> once() |> Enum.map(&checked/1)
    on = Enum.filter(found, &on?/1)
    is_flat = flat?(on)
    found = if is_flat, do: found, else: named(found)
    %{found: secrets(found), is_flat: is_flat, language: language}
  end

  @doc "Whether it configures anything."
  @spec on?(Found.t()) :: boolean()
  def on?(%{options: options}), do: options not in [nil, []]

  # What it depends on has to be said in the configuration as well.
  defp guarded(%{guards: guards} = found) do
    tests = for {test, _} <- guards, do: test

    cond do
      not on?(found) ->
        found

      problem = Enum.find(tests, &(&1.problems != [])) ->
        %{
          Found.lost(
            found,
            "it is started only under a condition at #{problem.place} (#{Enum.join(problem.problems, ", ")}), which a configuration " <>
              "cannot read: decide it there, and start it as a child: {Rendez, via: ...}"
          )
          | options: nil
        }

      not Enum.all?(tests, &Redact.printable?/1) ->
        place = Enum.find_value(tests, & &1.place)

        %{
          Found.lost(
            found,
            "it is started only under a condition at #{place} that may hold a secret, so it is not printed: write the configuration under the same"
          )
          | options: nil
        }

      true ->
        case tests |> Enum.flat_map(&Found.calls/1) |> Enum.uniq() do
          [] ->
            found

          names ->
            Found.note(
              found,
              "#{Enum.join(names, ", ")} is called while the configuration is read, before any application has started"
            )
        end
    end
  end

  # The same, found twice: in two applications of an umbrella, or by two ways through the sources.
  defp once(found) do
    found
    |> Enum.reduce([], fn one, done ->
      case on?(one) && Enum.find_index(done, &same?(&1, one)) do
        index when is_integer(index) ->
          List.update_at(
            done,
            index,
            &Found.note(&1, "it is started at #{one.place} as well: one cluster does for both")
          )

        _ ->
          [one | done]
      end
    end)
    |> Enum.reverse()
  end

  defp same?(one, other) do
    on?(one) and one.options == other.options and plain(one.guards) == plain(other.guards) and one.from != other.from and
      not Enum.any?(one.options, fn {_, value} -> match?(%Code{ast: {_, _, [{:secret, _}]}}, value) end)
  end

  defp plain(guards), do: for({test, truth} <- guards, do: {test.ast, truth})

  # --- What Rendez would refuse ---

  defp checked(found) do
    with true <- on?(found),
         {:error, message} <- check(found.options) do
      %{Found.lost(found, "rendez refuses it: #{message}") | options: nil}
    else
      _ -> found
    end
  end

  @samples %{
    dns_name: "rendez.internal",
    app_name: "rendez",
    selector: "app=rendez",
    node_list: [],
    libcluster_group: "233.252.1.32:45892",
    peerage_group: "230.1.1.1:45900",
    nodefinder_group: "224.0.0.1:4475",
    libcluster_secret: "secret"
  }

  # Where a value waits, another stands in for it, or its default.
  defp check(options) do
    options = for {key, value} <- options, sample = sample(key, value), sample != :default, do: {key, sample}

    with true <- is_atom(options[:via]) or is_list(options[:via]),
         true <- native?(options[:via]),
         {:error, message} <- :rendez_nif.check(Map.new(options)),
         false <- message =~ "this build of Rendez is without it" do
      {:error, message}
    else
      _ -> :ok
    end
  rescue
    # Without the library nothing is checked here, but at the start of rendez.
    _ -> :ok
  end

  defp native?(via) when is_atom(via), do: :rendez_nif.is_provider(via)
  defp native?(_), do: true

  # The variables of a template are known to whoever fills it in.
  defp sample(key, value) do
    if Value.known?(value) and not template?(value), do: value, else: Map.get(@samples, key, :default)
  end

  @doc "Whether a part of the value is a variable of a `sys.config.src`."
  @spec template?(Value.t()) :: boolean()
  def template?(value) when is_binary(value), do: value =~ ~r/\$\{\w+\}/
  def template?(value) when is_atom(value), do: value |> Atom.to_string() |> template?()

  def template?([head | tail] = list),
    do: (List.ascii_printable?(list) and template?(to_string(list))) or template?(head) or template?(tail)

  def template?(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> template?()
  def template?(_), do: false

  # --- Names ---

  # One cluster, or one of several that never hold together.
  defp flat?(on) do
    froms = on |> Enum.map(& &1.from) |> Enum.uniq()
    guards = Enum.map(on, &plain(&1.guards))

    length(froms) <= 1 and length(Enum.uniq(guards)) == length(guards) and not Enum.any?(on, &own_name?/1) and
      exclusive?(guards)
  end

  # dns_cluster's `name`: whoever set it asks for it.
  defp own_name?(found), do: found.name != nil and found.title == "dns_cluster"

  defp exclusive?([_]), do: true
  defp exclusive?([]), do: true

  defp exclusive?(guards) do
    for {one, index} <- Enum.with_index(guards), other <- Enum.drop(guards, index + 1), reduce: true do
      all -> all and Enum.any?(one, fn {test, truth} -> contradicted?(test, truth, other) end)
    end
  end

  defp contradicted?(test, truth, others) do
    Enum.any?(others, fn
      {^test, other} -> other != truth
      {{:==, _, [left, right]}, true} -> truth and match?({:==, _, [^left, value]} when value != right, test)
      _ -> false
    end)
  end

  defp named(found) do
    {found, _} =
      Enum.map_reduce(found, %{}, fn one, names ->
        if on?(one) do
          wanted = if one.name in [nil | @taken], do: default(one), else: one.name
          name = free(wanted, one, names, 1)
          renamed = one.name != nil and name != one.name

          one =
            if renamed, do: Found.note(one, "its cluster is called #{name}: the name #{one.name} is taken"), else: one

          {%{one | name: name}, Map.update(names, name, [key(one)], &[key(one) | &1])}
        else
          {one, names}
        end
      end)

    found
  end

  # Those of one find that never hold together may share a name.
  defp key(found), do: {found.from, plain(found.guards)}

  defp free(wanted, one, names, count) do
    name = if count == 1, do: wanted, else: :"#{wanted}_#{count}"

    case names do
      %{^name => keys} ->
        if(Enum.all?(keys, &apart?(&1, key(one))), do: name, else: free(wanted, one, names, count + 1))

      _ ->
        name
    end
  end

  defp apart?({from, one}, {from, other}), do: exclusive?([one, other])
  defp apart?(_, _), do: false

  defp default(%{name: name}) when name in @taken and name != nil, do: :"#{name}_cluster"

  defp default(%{title: title}) do
    case Regex.run(~r/^\w+/, title) do
      [word] -> word |> String.downcase() |> String.to_atom()
      nil -> :cluster
    end
  end

  # --- Secrets ---

  # A variable of the machine for each of them.
  defp secrets(found) do
    many = Enum.count(found, &secret?/1) > 1

    Enum.map(found, &if(on?(&1), do: filled(&1, variable(&1, many)), else: &1))
  end

  defp filled(found, name) do
    options = for {key, value} <- found.options, do: {key, value(value, name)}

    cond do
      options == found.options ->
        found

      found.language == :erlang ->
        Found.note(found, "the secret is not printed: write it where it says so; until then rendez does not start")

      true ->
        Found.note(%{found | options: options}, "the secret is not printed: set #{name} to it")
    end
  end

  defp secret?(%{options: options}),
    do: Enum.any?(options || [], fn {_, value} -> match?(%Code{ast: {_, _, [{:secret, _}]}}, value) end)

  defp variable(_, false), do: "RENDEZ_SECRET"

  defp variable(found, true) do
    name = found.name |> inspect() |> String.replace(~r/[^A-Za-z0-9]+/, "_") |> String.trim("_") |> String.upcase()
    "RENDEZ_SECRET_#{name}"
  end

  defp value(%Code{ast: {function, _, [{:secret, _}]}} = code, name), do: %{code | ast: {function, [], [name]}}
  defp value(value, _), do: value

  @doc "The tests of the guards as one expression; those that follow from others are left out."
  @spec condition([Value.guard()]) :: Macro.t() | nil
  def condition(guards) do
    tests = for {test, truth} <- guards, do: {test.ast, truth}
    there = for {{:not, _, [{:in, _, [left, [nil | _]]}]}, true} <- tests, do: left
    equal = for({{:==, _, [left, right]}, true} <- tests, do: {left, right}) ++ for left <- there, do: {left, :there}

    tests
    |> Enum.reject(fn
      {{:==, _, [left, right]}, false} -> Enum.any?(equal, fn {same, value} -> same == left and value != right end)
      {{:is_nil, _, [left]}, false} -> Enum.any?(equal, fn {same, _} -> same == left end) or {left, true} in tests
      {test, true} -> Enum.any?(equal, fn {same, _} -> same == test end)
      _ -> false
    end)
    |> Enum.map(&test/1)
    |> Enum.reduce(nil, fn
      test, nil -> test
      test, before -> {:&&, [], [before, test]}
    end)
  end

  defp test({test, true}), do: test
  defp test({{:==, _, [left, right]}, false}), do: {:!=, [], [left, right]}
  defp test({{:!=, _, [left, right]}, false}), do: {:==, [], [left, right]}
  defp test({{:is_nil, _, [value]}, false}), do: value
  defp test({test, false}), do: {:!, [], [test]}
end
