defmodule Rendez.Migrate do
  @moduledoc """
  Reads how a project finds its peers today, and says the same in the words of `config :rendez`.

  `mix rendez.migrate` is its face. Nothing of the project is run: its configuration and its sources are parsed, and what
  they say is read off the syntax.

    * `Rendez.Migrate.Project` finds what there is, with `.Config` for Mix's files, `.Sources` for what the sources start
      and `.Erlang` for `sys.config`;
    * `Rendez.Migrate.Eval` reads off what an expression stands for, as a `Rendez.Migrate.Value`;
    * `Rendez.Migrate.Peerage`, `.Libcluster`, `.DnsCluster`, `.GenCluster` and `.Nodefinder` each translate one package's
      options, into a `Rendez.Migrate.Found`;
    * `Rendez.Migrate.Plan` puts everything together, under names and conditions;
    * `Rendez.Migrate.Page` writes it down.
  """

  alias Rendez.Migrate.{Config, DnsCluster, Found, GenCluster, Libcluster, Nodefinder, Page, Peerage, Plan, Project}

  @doc """
  The page for the project in `root`, and whether anything was found.

  Options: `env` (default `:prod`) and `target` (default `:host`), for which the configuration is read, and `files`, those to
  read instead of looking for them.
  """
  @spec page(Path.t(), keyword()) :: {boolean(), String.t()}
  def page(root, options \\ []) do
    project = Project.read(root, options)
    plan = project |> found() |> Plan.make()
    others = for env <- [:dev, :test, :prod], env != project.env, do: {env, code(root, Keyword.put(options, :env, env))}

    {plan.found != [] or project.seen != [] or Enum.any?(others, fn {_, code} -> code != "" end),
     Page.write(plan, project, others)}
  end

  # What would be configured in another environment, to be compared.
  defp code(root, options), do: root |> Project.read(options) |> found() |> Plan.make() |> Page.code()

  @doc "Everything that a project has, translated."
  @spec found(Project.t()) :: [Found.t()]
  def found(project) do
    started = Enum.filter(project.finds, &(&1.kind == :libcluster))
    taken = Enum.any?(started, &({:libcluster, :topologies} in &1.origins))
    calls = Enum.any?(project.finds, &(&1.kind == :nodefinder))

    configured =
      for {app, translate} <- [
            peerage: &Peerage.translate/1,
            libcluster: &if(taken, do: [], else: configured_libcluster(&1, project)),
            gen_cluster: &GenCluster.translate/1,
            nodefinder: &Nodefinder.translate(&1, calls)
          ],
          env = Project.env(project.entries, app),
          env != [] or Enum.any?(project.erlang, fn {_, config} -> Keyword.has_key?(config, app) end),
          found <- safely(translate, env, to_string(app)) do
        file = place(project, app, env)
        %{found | place: file, file: file(file), language: language(file), from: app}
      end

    started = project.finds |> Enum.with_index() |> Enum.flat_map(fn {find, index} -> started(find, index, project) end)
    configured ++ started
  end

  defp configured_libcluster(env, project) do
    for found <- Libcluster.translate(Keyword.get(env, :topologies), project.libcluster) do
      if project.has_sources and project.seen == [] and not old?(project.libcluster) and
           not Enum.any?(project.finds, &(&1.kind == :libcluster)),
         do:
           Found.note(
             found,
             "nothing in lib starts a Cluster.Supervisor with it: since 3.0 libcluster starts nothing by itself"
           ),
         else: found
    end
  end

  defp old?(nil), do: false
  defp old?(version), do: Version.compare(version, "3.0.0") == :lt

  defp started(find, index, project) do
    fun = fn _ ->
      case find.kind do
        :dns_cluster -> DnsCluster.translate(find.value, why(find, project))
        :libcluster -> Libcluster.translate(topologies(find.value), project.libcluster)
        :strategy -> strategy(find.value, project.libcluster)
        :nodefinder -> Nodefinder.call(find.value, Project.env(project.entries, :nodefinder))
      end
    end

    for found <- safely(fun, find, find.place) |> silent(find, project) do
      place = origin(find, project)

      found = %{
        found
        | place: place || find.place,
          from: index,
          file: file(place),
          language: Map.get(find, :language, :elixir)
      }

      found = Found.guard(%{found | guards: []}, find.guards ++ found.guards)
      if found.options in [nil, []], do: found, else: Found.note(found, remove(find))
    end
  end

  # A supervisor that has nothing to start.
  defp silent([], %{kind: :libcluster} = find, project) do
    what =
      case List.last(find.origins) do
        {app, key} -> "config #{inspect(app)}, #{inspect(key)} is not set for #{project.env}"
        nil -> "it has no topologies"
      end

    [
      Found.off(
        Found.new("libcluster"),
        "#{what}: it starts nothing, as rendez without configuration. Another environment is read with --env"
      )
    ]
  end

  defp silent(found, _, _), do: found

  defp remove(%{kind: :dns_cluster, place: place}),
    do: "remove {DNSCluster, ...} at #{place}: rendez starts with its own application"

  defp remove(%{kind: :nodefinder, place: place}),
    do: "remove the call at #{place}: rendez starts with its own application"

  defp remove(%{place: place}),
    do: "remove {Cluster.Supervisor, ...} at #{place}: rendez starts with its own application"

  # What starts it takes `[topologies]` or `[topologies, options]`.
  defp topologies([[{_, _} | _] = topologies | _]), do: topologies
  defp topologies([first | _] = value) when not is_tuple(first), do: first |> wrapped(value)
  defp topologies(value), do: Rendez.Migrate.Value.map(value, &inner/1)

  defp wrapped(first, _), do: first

  defp inner([[{_, _} | _] = topologies | _]), do: topologies
  defp inner([first | _]) when not is_tuple(first), do: first
  defp inner(other), do: other

  # `{Cluster.Strategy.Gossip, [%Cluster.Strategy.State{...}]}`
  defp strategy({strategy, [{:state, state} | _]}, version) when is_list(state),
    do:
      Libcluster.translate(
        [
          {state[:topology] || :cluster,
           [{:strategy, strategy} | Keyword.take(state, [:config, :connect, :disconnect, :list_nodes])]}
        ],
        version
      )

  defp strategy({strategy, _}, _) when is_atom(strategy),
    do: [
      %{
        Found.lost(
          Found.new("libcluster, #{inspect(strategy)} by itself"),
          "its options are not a literal: write config :rendez for them"
        )
        | options: nil
      }
    ]

  defp strategy(_, _), do: []

  defp why(%{origins: [_ | _] = origins}, project) do
    {app, key} = List.last(origins)

    "config #{inspect(app)}, #{inspect(key)} is not set for #{project.env}, where DNSCluster starts nothing, as rendez " <>
      "without configuration. Another environment is read with --env"
  end

  defp why(_, _), do: ""

  # Where the value that was read stands.
  defp origin(find, project),
    do: Enum.find_value(find.origins, fn {app, key} -> Config.place(project.entries, app, key) end)

  defp place(project, app, env) do
    places = for {key, _} <- env, place = Config.place(project.entries, app, key), uniq: true, do: place
    sys = for {file, config} <- project.erlang, Keyword.has_key?(config, app), do: file
    # The one that says where the peers are.
    List.first(
      for({key, _} <- env, key in [:topologies, :via], place = Config.place(project.entries, app, key), do: place) ++
        places ++ sys
    )
  end

  defp file(nil), do: nil
  defp file(place), do: String.replace(place, ~r/:\d+$/, "")

  defp language(nil), do: :elixir
  defp language(place), do: if(Path.extname(file(place)) == ".exs", do: :elixir, else: :erlang)

  # What nobody thought of is named with its place, and never with what it holds.
  defp safely(translate, value, place) do
    translate.(value)
  rescue
    error ->
      line = with [{_, _, _, at} | _] <- __STACKTRACE__, do: " (#{at[:file]}:#{at[:line]})"
      title = "what stands at #{place}"

      why =
        "it is written in a way that is not understood (#{inspect(error.__struct__)}#{line}). Write config :rendez for it by hand"

      [%{Found.lost(Found.new(title), why) | options: nil}]
  end
end
