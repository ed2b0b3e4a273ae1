defmodule Rendez.Migrate do
  @moduledoc """
  Reads how a project finds its peers today, and says the same in the words of `config :rendez`.

  `mix rendez.migrate` is its face. Nothing of the project is run: its configuration is read with `Config.Reader` or
  `:file.consult/1`, its sources are parsed and looked through for the children of a supervisor that start `DNSCluster` or
  `Cluster.Supervisor`.

    * `Rendez.Migrate.Project` finds what there is;
    * `Rendez.Migrate.Peerage`, `.Libcluster`, `.DnsCluster`, `.GenCluster` and `.Nodefinder` each translate one package's
      options;
    * `Rendez.Migrate.Page` writes it down.
  """

  alias Rendez.Migrate.{DnsCluster, GenCluster, Libcluster, Nodefinder, Page, Peerage, Project}

  @typedoc """
  One thing that was found and what becomes of it.

    * `title` - what was found and where;
    * `language` - that of its configuration, and of ours;
    * `name` - of the cluster, where the package had several;
    * `options` - what to configure, in order; `nil` where nothing can be. `{:code, text}` is a value that is to be written
      as this code;
    * `notes` - what is different from now on, or has to be done by hand;
    * `without_equal` - what was configured and has no equal here, each with the reason or the remedy.
  """
  @type found :: %{
          title: String.t(),
          language: :elixir | :erlang,
          name: atom() | nil,
          options: keyword() | nil,
          notes: [String.t()],
          without_equal: [String.t()]
        }

  @doc """
  The page for the project in `root`, and whether anything was found.

  Options: `env` (default `:prod`) and `target` (default `:host`), for which the configuration is read, and `files`, those to
  read instead of looking for them.
  """
  @spec page(Path.t(), keyword()) :: {boolean(), String.t()}
  def page(root, options \\ []) do
    project = Project.read(root, options)
    found = found(project)
    {found != [], Page.write(found, project)}
  end

  @doc "Everything that a project has, translated."
  @spec found(Project.t()) :: [found()]
  def found(project) do
    Enum.flat_map(project.configs, &in_config/1) ++ Enum.flat_map(project.children, &child(&1, project))
  end

  defp in_config({place, language, config}) do
    for {app, translate} <- [
          peerage: &Peerage.translate/1,
          libcluster: &Libcluster.translate/1,
          gen_cluster: &GenCluster.translate/1,
          nodefinder: &Nodefinder.translate/1
        ],
        {:ok, env} <- [Keyword.fetch(config, app)],
        found <- translate.(env) do
      %{found | title: "#{found.title} (#{place})", language: language}
    end
  end

  defp child({:dns_cluster, place, options}, project), do: titled(DnsCluster.translate(options, project), place)
  defp child({:libcluster, place, topologies}, _), do: titled(Libcluster.translate(topologies: topologies), place)

  defp titled(found, place), do: for(one <- found, do: %{one | title: "#{one.title} (#{place})"})

  # --- For the translators ---

  @doc false
  def new(title),
    do: %{title: title, language: :elixir, name: nil, options: [], notes: [], without_equal: []}

  @doc false
  def put(found, _key, nil), do: found
  def put(found, key, value), do: %{found | options: found.options ++ [{key, value}]}

  @doc false
  def note(found, text), do: %{found | notes: found.notes ++ [text]}

  @doc false
  def lost(found, text), do: %{found | without_equal: found.without_equal ++ [text]}

  @doc false
  # What nobody has translated: an option that is forgotten here is worse than one that is named in vain.
  def rest(found, options, known, why \\ "rendez knows no such option") do
    Enum.reduce(options, found, fn {key, value}, found ->
      if key in known, do: found, else: lost(found, "#{key}#{shown(value)} - #{why}")
    end)
  end

  # What nobody knows may be a password.
  defp shown(value) when is_atom(value) or is_number(value), do: ": #{inspect(value)}"
  defp shown(_), do: ""

  @doc false
  # Milliseconds as a span of ours: a number is seconds here.
  def ms(value, default \\ nil)
  def ms(same, same), do: nil
  def ms(ms, _) when is_integer(ms) and rem(ms, 1000) == 0 and ms > 0, do: div(ms, 1000)
  def ms(ms, _) when is_integer(ms) and ms > 0, do: "#{ms}ms"
  def ms({:code, _} = code, _), do: code
  def ms(_, _), do: nil

  @doc false
  def text(nil), do: nil
  def text({:code, _} = code), do: code
  def text(atom) when is_atom(atom), do: Atom.to_string(atom)
  def text(text) when is_binary(text), do: text
  def text(charlist) when is_list(charlist), do: List.to_string(charlist)
  def text(other), do: other

  @doc false
  def address(ip) when is_tuple(ip) and tuple_size(ip) in [4, 8], do: ip |> :inet.ntoa() |> to_string()
  def address(other), do: text(other)

  @doc false
  # `address:port`, where both are known before the project runs.
  def socket({:code, address}, port), do: {:code, ~s|"\#{| <> address <> ~s|}:\#{| <> inner(port) <> ~s|}"|}
  def socket(address, {:code, port}), do: {:code, ~s|"| <> address <> ~s|:\#{| <> port <> ~s|}"|}

  def socket(address, port),
    do: if(String.contains?(address, ":"), do: "[#{address}]:#{port}", else: "#{address}:#{port}")

  defp inner({:code, code}), do: code
  defp inner(value), do: inspect(value)

  @doc false
  def secret(found, key, value) when value in [nil, false], do: put(found, key, nil)

  def secret(found, key, _value) do
    found
    |> put(key, {:code, ~s|System.fetch_env!("RENDEZ_SECRET")|})
    |> note("the secret is not printed: set RENDEZ_SECRET to it, and write this line in config/runtime.exs")
  end

  @doc false
  def show({:code, code}), do: code
  def show(value), do: inspect(value, limit: 20, printable_limit: 200)
end
