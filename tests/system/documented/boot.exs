# Boots what the docs show, in a node with the package: one application start per block of configuration.
defmodule Documented do
  @doc "Evaluates the text of config files as Mix does, and starts the application with what they say."
  def config(encoded) do
    text = Base.decode64!(encoded)
    set_variables(text)

    environment =
      text
      |> files()
      |> Enum.reduce([], fn file, before -> Config.Reader.merge(before, read(file)) end)
      |> Keyword.get(:rendez, [])

    start(environment)
  end

  @doc "Starts the application with an Erlang term such as sys.config holds."
  def terms(encoded) do
    {:ok, tokens, _} = (Base.decode64!(encoded) <> " .") |> String.to_charlist() |> :erl_scan.string()

    case :erl_parse.parse_term(tokens) do
      {:ok, [{:rendez, environment}]} -> start(environment)
      {:ok, {:rendez, environment}} -> start(environment)
    end
  end

  @doc "Starts the children that a block of Elixir binds to `children`, under a supervisor."
  def children(encoded) do
    {_, bindings} = encoded |> Base.decode64!() |> Code.eval_string()
    {:ok, supervisor} = Supervisor.start_link(Keyword.fetch!(bindings, :children), strategy: :one_for_one)
    statuses = for {name, _, _, _} <- Supervisor.which_children(supervisor), do: name
    Supervisor.stop(supervisor)
    {:ok, length(statuses)}
  end

  @doc "Evaluates calls, one a line, beside a cluster that finds nobody."
  def calls(encoded) do
    Application.put_env(:rendez, :via, :self)
    {:ok, _} = Application.ensure_all_started(:rendez)
    for line <- encoded |> Base.decode64!() |> String.split("\n", trim: true), do: Code.eval_string(line)
    stop()
    :ok
  end

  defp start(environment) do
    Application.put_all_env(rendez: environment)

    case Application.ensure_all_started(:rendez) do
      {:ok, _} ->
        # An off switch starts no cluster.
        started = if Process.whereis(:rendez), do: length(Rendez.status().providers), else: :off
        stop()
        {:ok, started}

      {:error, reason} ->
        clear()
        {:error, reason}
    end
  end

  defp stop do
    :ok = Application.stop(:rendez)
    clear()
  end

  defp clear do
    for {key, _} <- Application.get_all_env(:rendez), do: Application.delete_env(:rendez, key)
  end

  # A block may show two files, each below a comment with its name.
  defp files(text), do: String.split(text, ~r{^# config/\w+\.exs$}m, trim: true)

  defp read(text) do
    path = Path.join(System.tmp_dir!(), "documented-#{System.unique_integer([:positive])}.exs")
    File.write!(path, "import Config\n" <> text)

    try do
      Config.Reader.read!(path, env: :prod)
    after
      File.rm!(path)
    end
  end

  defp set_variables(text) do
    for [_, name] <- Regex.scan(~r/System\.(?:fetch_env!|get_env)\("(\w+)"/, text), do: System.put_env(name, "shown")
  end
end

defmodule MyApp.Peers do
  def poll, do: []
end
