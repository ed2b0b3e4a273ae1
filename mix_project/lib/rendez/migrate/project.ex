defmodule Rendez.Migrate.Project do
  @moduledoc """
  What a project says about its clustering: its configuration, and what its sources start. Only reads.
  """

  @typedoc """
    * `configs` - `{place, language, [{app, env}]}`, one for each file or group of files that was read;
    * `children` - what the sources start: `{:dns_cluster | :libcluster, place, options}`;
    * `unread` - what could not be read, each with the reason and the remedy;
    * `env` - for which the configuration was read.
  """
  @type t :: %{
          configs: [{String.t(), :elixir | :erlang, keyword()}],
          children: [{atom(), String.t(), term()}],
          unread: [String.t()],
          env: atom()
        }

  @sys_configs ~w(config/sys.config rel/sys.config sys.config rel/files/sys.config priv/sys.config)

  @doc "Reads the project in `root`; see `Rendez.Migrate.page/2` for the options."
  @spec read(Path.t(), keyword()) :: t()
  def read(root, options) do
    env = Keyword.get(options, :env, :prod)
    target = Keyword.get(options, :target, :host)
    files = Keyword.get(options, :files) || Enum.filter(@sys_configs, &File.regular?(Path.join(root, &1)))
    {scripts, terms} = Enum.split_with(files, &(Path.extname(&1) == ".exs"))
    scripts = if scripts == [] and options[:files] == nil, do: ~w(config/config.exs config/runtime.exs), else: scripts

    {elixir, unread} = elixir(root, Enum.filter(scripts, &File.regular?(Path.join(root, &1))), env, target)
    read = for file <- terms, do: {file, erlang(Path.join(root, file), [])}
    configs = elixir ++ for({file, {:ok, config}} <- read, do: {file, :erlang, config})
    unread = unread ++ for {file, {:error, why}} <- read, do: "#{file}: #{why}"

    {children, unparsed} = sources(root, configs)
    %{configs: configs, children: children, unread: unread ++ unparsed, env: env}
  end

  @doc "The value of an application's key, wherever it is configured."
  @spec value(t() | [tuple()], atom(), term()) :: {:ok, term()} | :error
  def value(%{configs: configs}, app, key), do: value(configs, app, key)

  def value(configs, app, key) do
    Enum.find_value(configs, :error, fn {_, _, config} ->
      env = Keyword.get(config, app, [])
      List.keymember?(env, key, 0) && {:ok, Keyword.get(env, key)}
    end)
  end

  # --- Configuration ---

  # As Mix reads it: the files one after the other, later ones over earlier ones.
  defp elixir(_root, [], _env, _target), do: {[], []}

  defp elixir(root, files, env, target) do
    {config, unread} =
      Enum.reduce(files, {[], []}, fn file, {config, unread} ->
        try do
          {Config.Reader.merge(config, Config.Reader.read!(Path.join(root, file), env: env, target: target)), unread}
        rescue
          error ->
            why = error |> Exception.message() |> String.trim() |> String.replace("\n", " ")
            # What is missing there is most often a variable of the machine that the release runs on.
            {config, unread ++ ["#{file} (for #{env}): #{why}. Set the variables that it reads, if it is that"]}
        end
      end)

    {[{Enum.join(files, ", "), :elixir, config}], unread}
  end

  # A sys.config: one list of applications; a text in it names a further file. See config(4) of OTP.
  defp erlang(path, above) do
    with false <- Path.expand(path) in above,
         {:ok, [terms]} when is_list(terms) <- :file.consult(path) do
      Enum.reduce_while(terms, {:ok, []}, fn
        {app, env}, {:ok, config} when is_atom(app) and is_list(env) ->
          {:cont, {:ok, Keyword.update(config, app, env, &Keyword.merge(&1, env))}}

        other, {:ok, config} ->
          with true <- is_binary(other) or List.ascii_printable?(List.wrap(other)),
               {:ok, more} <- included(to_string(other), path, above) do
            {:cont, {:ok, Keyword.merge(config, more, fn _, one, two -> Keyword.merge(one, two) end)}}
          else
            {:error, why} -> {:halt, {:error, "it names #{other}, which cannot be read: #{why}"}}
            _ -> {:halt, {:error, "#{inspect(other)} is neither {Application, Environment} nor the name of a file"}}
          end
      end)
    else
      true -> {:error, "it includes itself"}
      {:ok, _} -> {:error, "it has to be one list of {Application, Environment}, with a full stop after it"}
      {:error, reason} -> {:error, "#{:file.format_error(reason)}. A template (.src) has to be filled in first"}
    end
  end

  defp included(name, path, above) do
    name = if Path.extname(name) == "", do: name <> ".config", else: name
    erlang(Path.expand(name, Path.dirname(path)), [Path.expand(path) | above])
  end

  # --- Sources ---

  defp sources(root, configs) do
    # Within the root, whose own name may hold what a pattern takes for special.
    places =
      for pattern <- [~c"lib/**/*.ex", ~c"apps/*/lib/**/*.ex"], do: :filelib.wildcard(pattern, String.to_charlist(root))

    places
    |> Enum.concat()
    |> Enum.map(&List.to_string/1)
    |> Enum.reduce({[], []}, fn place, {children, unparsed} ->
      case root |> Path.join(place) |> File.read!() |> Code.string_to_quoted() do
        {:ok, ast} -> {children ++ in_source(ast, place, configs), unparsed}
        {:error, {where, _, _}} -> {children, unparsed ++ ["#{place}: a syntax error on line #{line(where)}"]}
      end
    end)
  end

  defp line(where) when is_list(where), do: where[:line]
  defp line(where), do: where

  defp in_source(ast, place, configs) do
    bound = bindings(ast)

    {_, found} =
      Macro.prewalk(ast, [], fn
        {{:__aliases__, _, [:DNSCluster]}, options} = node, found when is_list(options) ->
          {node, [{:dns_cluster, place, for({key, value} <- options, do: {key, term(value, bound, configs)})} | found]}

        {{:__aliases__, _, [:Cluster, :Supervisor]}, [topologies | _]} = node, found ->
          case term(topologies, bound, configs) do
            # What stands in the configuration of libcluster is found there.
            {:configured, :libcluster, _, _} -> {node, found}
            {:configured, _, _, value} when is_list(value) -> {node, [{:libcluster, place, value} | found]}
            value when is_list(value) -> {node, [{:libcluster, place, value} | found]}
            other -> {node, [{:libcluster, place, other} | found]}
          end

        node, found ->
          {node, found}
      end)

    Enum.reverse(found)
  end

  # `topologies = [...]` on the way to a child specification.
  defp bindings(ast) do
    {_, bound} =
      Macro.prewalk(ast, %{}, fn
        {:=, _, [{name, _, context}, value]} = node, bound when is_atom(name) and is_atom(context) ->
          {node, Map.put(bound, name, value)}

        node, bound ->
          {node, bound}
      end)

    bound
  end

  # A value in a source: what it is if that can be read off, else its code. Nothing is called.
  defp term(ast, bound, configs, depth \\ 0)
  defp term(literal, _, _, _) when is_atom(literal) or is_number(literal) or is_binary(literal), do: literal
  defp term({:__aliases__, _, parts}, _, _, _), do: Module.concat(parts)
  defp term({a, b}, bound, configs, depth), do: {term(a, bound, configs, depth), term(b, bound, configs, depth)}

  defp term({:{}, _, parts}, bound, configs, depth),
    do: List.to_tuple(Enum.map(parts, &term(&1, bound, configs, depth)))

  defp term(list, bound, configs, depth) when is_list(list), do: Enum.map(list, &term(&1, bound, configs, depth))

  defp term({name, _, context} = ast, bound, configs, depth) when is_atom(name) and is_atom(context) and depth < 5 do
    case bound do
      %{^name => value} -> term(value, bound, configs, depth + 1)
      _ -> code(ast)
    end
  end

  # `Application.get_env(:my_app, :dns_cluster_query) || :ignore`
  defp term({:||, _, [value, default]} = ast, bound, configs, depth) do
    case term(value, bound, configs, depth) do
      {:configured, app, key, nil} -> {:configured, app, key, term(default, bound, configs, depth)}
      {:configured, _, _, _} = configured -> configured
      _ -> code(ast)
    end
  end

  defp term({{:., _, [{:__aliases__, _, [:Application]}, get]}, _, [app, key | default]}, _, configs, _)
       when get in [:get_env, :fetch_env!, :compile_env, :compile_env!] and is_atom(app) and is_atom(key) do
    case {value(configs, app, key), default} do
      {{:ok, value}, _} -> {:configured, app, key, value}
      {:error, [value]} when is_atom(value) or is_binary(value) -> {:configured, app, key, value}
      _ -> {:configured, app, key, nil}
    end
  end

  defp term(ast, _, _, _), do: code(ast)

  defp code(ast), do: {:code, Macro.to_string(ast)}
end
