defmodule Rendez.Migrate.Libcluster do
  @moduledoc "libcluster: topologies, from `config :libcluster` or from a `Cluster.Supervisor` in the sources."
  import Rendez.Migrate.Found
  alias Rendez.Migrate.{Gossip, Strategies, Value}
  alias Rendez.Migrate.Value.{Choice, Code}

  # What libcluster does unless told otherwise, when somebody writes it down.
  @own [
    connect: {:net_kernel, :connect_node, []},
    disconnect: {:erlang, :disconnect_node, []},
    list_nodes: {:erlang, :nodes, [:connected]}
  ]

  @doc "Translates topologies; `version` is that of libcluster, if it is known."
  @spec translate(Value.t(), Version.t() | nil) :: [Rendez.Migrate.Found.t()]
  def translate(topologies, version \\ nil)

  # The environment of the application.
  def translate([{key, _} | _] = env, version) when key in [:topologies, :debug],
    do: env |> Keyword.get(:topologies) |> translate(version)

  def translate(topologies, version) do
    for {guards, topologies} <- Value.alternatives(topologies, &structure?/1), found <- listed(topologies, version) do
      guard(%{found | guards: []}, guards ++ found.guards)
    end
  end

  # In what a choice changes which options there are, and not only one's value.
  defp structure?(list) when is_list(list), do: true
  defp structure?({key, _}) when key in [:strategy, :config], do: true
  defp structure?({_, value}), do: spec?(value)
  defp structure?(_), do: false

  defp spec?(%Choice{} = one), do: spec?(one.then) or spec?(one.else)
  defp spec?([{_, _} | _] = list), do: List.keymember?(list, :strategy, 0)
  defp spec?(_), do: false

  defp listed(empty, _) when empty in [nil, false, [], %{}], do: []

  defp listed(%Code{ast: {:raise, _, _}} = code, _),
    do: [
      off(new("libcluster"), "otherwise the project ends with an error at #{code.place}; rendez starts nothing then")
    ]

  defp listed(%Code{} = code, _), do: [unknown("topologies", code)]
  defp listed(map, version) when is_map(map), do: map |> Map.to_list() |> listed(version)

  defp listed(list, version) when is_list(list) do
    Enum.map(list, fn
      {name, spec} -> named(name, spec, version)
      _ -> %{lost(new("libcluster"), "a topology that is no {name, options}") | options: nil}
    end)
  end

  defp listed(other, _), do: [unknown("topologies", other)]

  defp unknown(what, value) do
    why =
      case Value.problems(value) do
        [] -> "they are known only when the project runs, computed"
        problems -> "they are computed from #{Enum.join(problems, ", ")}"
      end

    place = if place = Value.place(value), do: " at #{place}", else: ""

    lost(
      %{new("libcluster") | options: nil},
      "#{what}: #{why}#{place}. Write config :rendez for what they are there"
    )
  end

  defp named(name, spec, version) when is_binary(name), do: named(String.to_atom(name), spec, version)
  defp named(name, spec, version) when is_atom(name), do: %{topology(name, spec, version) | name: name}

  # A name that is code names nothing here: a single cluster needs none.
  defp named(name, spec, version) do
    found = topology("whose name is code", spec, version)

    %{
      note(
        found,
        "the name of the topology is computed#{if(place = Value.place(name), do: " at #{place}")}; here it gets another"
      )
      | name: nil
    }
  end

  defp topology(name, spec, version) when is_list(spec) do
    strategy = spec[:strategy]

    config =
      if is_map(spec[:config]) and not is_struct(spec[:config]),
        do: Map.to_list(spec[:config]),
        else: spec[:config] || []

    found = new("libcluster, topology #{name} by #{strategy(strategy)}")

    if is_list(config) do
      found
      |> Strategies.translate(strategy, config, version)
      |> functions(spec)
      |> rest(spec, [:strategy, :config, :connect, :disconnect, :list_nodes, :child_spec])
    else
      %{lost(found, computed("config", config)) | options: nil}
    end
  end

  defp topology(name, spec, _),
    do: %{lost(new("libcluster, topology #{name}"), computed("the topology", spec)) | options: nil}

  defp computed(what, value) do
    place = if place = Value.place(value), do: " at #{place}", else: " in a way that is not followed"
    "#{what}: it is computed#{place}. Write config :rendez with what it stands for there"
  end

  defp strategy(name) when is_atom(name), do: inspect(name)
  defp strategy(_), do: "a strategy that is code"

  defp functions(found, spec) do
    case for {key, _} = one <- spec, Keyword.has_key?(@own, key), one not in @own and value(one) != nil, do: key do
      [] ->
        found

      keys ->
        lost(
          found,
          "#{Enum.join(keys, ", ")} - a module of the behaviour rendez_dist takes the place of these functions: dist: MyApp.Dist"
        )
    end
  end

  defp value({_, value}), do: value

  @doc false
  def disconnects(found) do
    found
    |> put(:on_removed, {:disconnect, 0})
    |> note(
      "on_removed: a node that the source no longer names is disconnected at once, as libcluster does: one wrong answer " <>
        "is enough. {:disconnect, 30_000} waits 30 seconds first; without the line nodes are kept"
    )
  end

  @doc false
  # Left out of the library unless asked for.
  def feature(found, feature) do
    note(
      found,
      "build the library with it: config :rendez, features: [#{inspect(feature)}] in config/config.exs, then " <>
        "mix deps.compile rendez --force"
    )
  end

  defdelegate gossip(found, config, version), to: Gossip, as: :translate
end
