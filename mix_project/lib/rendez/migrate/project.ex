defmodule Rendez.Migrate.Project do
  @moduledoc """
  What a project says about its clustering: its configuration, and what its sources start. Only reads.
  """
  alias Rendez.Migrate.{Config, Erlang, Scope, Sources}

  @typedoc """
    * `entries` - what is configured, as `Rendez.Migrate.Config` reads it, with that of a `sys.config`;
    * `erlang` - the applications that a `sys.config` configures, with its file;
    * `finds` - what the sources start;
    * `unread` - what could not be read, each with the reason;
    * `seen` - mentions in the sources that were not followed;
    * `libcluster` - its version, if it is known;
    * `packages` - the dependencies, as far as they are named;
    * `env` - for which it was read.
  """
  @type t :: %{
          entries: [Config.entry()],
          erlang: [{Path.t(), keyword()}],
          finds: [Sources.find()],
          unread: [String.t()],
          seen: [{atom(), String.t()}],
          libcluster: Version.t() | nil,
          packages: [atom()],
          has_sources: boolean(),
          env: atom()
        }

  @sys_configs ~w(config/sys.config rel/sys.config sys.config rel/files/sys.config priv/sys.config) ++
                 ~w(config/sys.config.src rel/sys.config.src sys.config.src)
  @scripts ~w(config/config.exs config/runtime.exs)

  @doc "Reads the project in `root`; see `Rendez.Migrate.page/2` for the options."
  @spec read(Path.t(), keyword()) :: t()
  def read(root, options) do
    env = Keyword.get(options, :env, :prod)

    scope = %Scope{
      root: root,
      env: env,
      target: Keyword.get(options, :target, :host),
      lookup: fn _, _ -> :error end,
      keys: fn _ -> [] end
    }

    {scripts, terms} = files(root, options[:files], env)

    config = Config.read(scripts, scope)
    read = for file <- terms, do: {file, Erlang.sys_config(Path.join(root, file))}
    erlang = for {file, {:ok, config}} <- read, do: {file, config}
    entries = config.entries ++ Enum.flat_map(erlang, fn {file, config} -> Config.entries(config, file) end)
    lookup = fn app, key -> Config.value(entries, app, key) end

    elixir = sources(root, ~w(lib/**/*.ex web/**/*.ex apps/*/lib/**/*.ex apps/*/web/**/*.ex))
    found = Sources.read(elixir, %{scope | lookup: lookup, keys: &for({key, _} <- env(entries, &1), do: key)})

    %{
      entries: entries,
      erlang: erlang,
      finds: found.finds ++ erlang_finds(root) ++ started_by_arguments(root),
      unread: config.unread ++ for({file, {:error, why}} <- read, do: "#{file}: #{why}") ++ found.unread,
      seen: found.seen,
      libcluster: version(root, :libcluster),
      packages: packages(root),
      has_sources: elixir != [],
      env: env
    }
  end

  @doc "All that is configured of an application."
  @spec env([Config.entry()], atom()) :: keyword()
  def env(entries, app) do
    for {^app, key, _, _, _} <- entries, uniq: true do
      {:ok, value} = Config.value(entries, app, key)
      {key, value}
    end
  end

  defp files(root, nil, env) do
    there = fn file -> File.regular?(Path.join(root, file)) end
    releases = if env == :prod, do: ["config/releases.exs"], else: []

    below =
      for app <- "apps/*" |> Path.expand(root) |> Path.wildcard() |> Enum.sort(),
          script <- @scripts,
          do: app |> Path.join(script) |> Path.relative_to(Path.expand(root))

    terms = Enum.filter(@sys_configs ++ Erlang.named_by_rebar(root), there) |> Enum.uniq()
    # A template beside what is made of it says the same.
    terms = Enum.reject(terms, &(Path.extname(&1) == ".src" and Path.rootname(&1) in terms))
    {Enum.filter(@scripts ++ releases ++ below, there), terms}
  end

  defp files(_, given, _), do: Enum.split_with(given, &(Path.extname(&1) == ".exs"))

  defp sources(root, patterns) do
    # Within the root, whose own name may hold what a pattern takes for special.
    for pattern <- patterns,
        place <- :filelib.wildcard(String.to_charlist(pattern), String.to_charlist(root)),
        uniq: true,
        do: List.to_string(place)
  end

  # --- Erlang's sources ---

  defp erlang_finds(root) do
    for file <- sources(root, ~w(src/**/*.erl apps/*/src/**/*.erl lib/*/src/**/*.erl)),
        {:ok, text} <- [File.read(Path.join(root, file))],
        {function, arguments, line} <- Erlang.calls(text) do
      %{
        kind: :nodefinder,
        place: "#{file}:#{line(line)}",
        value: [function | arguments || [:unknown]],
        guards: [],
        origins: [],
        language: :erlang
      }
    end
  end

  # `-s nodefinder multicast_start`
  defp started_by_arguments(root) do
    for file <-
          ~w(vm.args config/vm.args config/vm.args.src rel/vm.args rel/vm.args.src rel/vm.args.eex rel/files/vm.args),
        {:ok, text} <- [File.read(Path.join(root, file))],
        {text, line} <- text |> String.split("\n") |> Enum.with_index(1),
        text =~ ~r/^\s*-(s|run)\s+nodefinder\s+multicast_start\s*$/ do
      %{
        kind: :nodefinder,
        place: "#{file}:#{line}",
        value: [:multicast_start],
        guards: [],
        origins: [],
        language: :erlang
      }
    end
  end

  defp line({line, _}), do: line
  defp line(line), do: line

  # --- Dependencies ---

  @doc "The version of a package that the project has, or may have at most; `nil` where nothing says it."
  @spec version(Path.t(), atom()) :: Version.t() | nil
  def version(root, package), do: locked(root, package) || required(root, package)

  defp locked(root, package) do
    with {:ok, {:%{}, _, pairs}} <- parsed(root, "mix.lock"),
         {_, {:{}, _, [:hex, _, version | _]}} <- List.keyfind(pairs, package, 0),
         {:ok, version} <- Version.parse(version) do
      version
    else
      _ -> nil
    end
  end

  # The releases between which something changed; of those that are asked for, the last.
  @releases ~w(3.5.0 3.4.1 3.3.3 3.3.0 3.2.2 3.1.1 3.0.3 2.5.0 2.3.0 2.0.4)

  defp required(root, package) do
    with [requirement | _] <-
           for({^package, requirement} when is_binary(requirement) <- dependencies(root), do: requirement),
         {:ok, requirement} <- Version.parse_requirement(requirement),
         version when is_binary(version) <- Enum.find(@releases, &Version.match?(&1, requirement)) do
      Version.parse!(version)
    else
      _ -> nil
    end
  end

  defp packages(root), do: root |> dependencies() |> Enum.map(&elem(&1, 0)) |> Enum.uniq()

  # `{:package, "~> 1.0"}`, wherever it stands in mix.exs.
  defp dependencies(root) do
    for file <- ["mix.exs" | sources(root, ["apps/*/mix.exs"])], {:ok, ast} <- [parsed(root, file)], reduce: [] do
      found ->
        {_, found} =
          Macro.prewalk(ast, found, fn
            {package, requirement} = node, found when is_atom(package) and is_binary(requirement) ->
              {node, [{package, requirement} | found]}

            {:{}, _, [package, requirement | _]} = node, found when is_atom(package) and is_binary(requirement) ->
              {node, [{package, requirement} | found]}

            node, found ->
              {node, found}
          end)

        found
    end
  end

  defp parsed(root, file) do
    case File.read(Path.join(root, file)) do
      {:ok, text} -> Elixir.Code.string_to_quoted(text, warn_on_unnecessary_quotes: false, emit_warnings: false)
      error -> error
    end
  end
end
