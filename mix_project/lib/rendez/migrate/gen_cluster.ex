defmodule Rendez.Migrate.GenCluster do
  @moduledoc "gen_cluster: its environment, as a sys.config has it."
  import Rendez.Migrate.Found

  @doc "Translates the environment of the application `gen_cluster`."
  @spec translate(keyword()) :: [Rendez.Migrate.Found.t()]
  def translate([]), do: []

  def translate(env) do
    {kind, options} =
      case env[:discovery] do
        {kind, options} when is_atom(kind) -> {kind, options}
        kind when is_atom(kind) and kind != nil -> {kind, []}
        _ -> {:static, []}
      end

    [
      new("gen_cluster by #{inspect(kind)}")
      |> discovery(kind, listed(options))
      |> refresh(Keyword.get(env, :refresh_interval_ms, 5_000), kind)
      |> dist(env[:dist])
      |> rest(env, [:discovery, :refresh_interval_ms, :dist])
    ]
  end

  defp listed(map) when is_map(map), do: Map.to_list(map)
  defp listed(list) when is_list(list), do: list
  defp listed(_), do: []

  defp discovery(found, kind, nodes) when kind in [:static, :gc_discover_static],
    do: found |> put(:via, :list) |> put(:node_list, nodes)

  defp discovery(found, kind, options) when kind in [:epmd_all, :gc_discover_epmd_all] do
    hosts = for host <- options[:hosts] || [], do: if(is_tuple(host), do: :inet.ntoa(host), else: host)
    found |> put(:via, :epmd) |> put(:hosts, if(hosts != [], do: hosts)) |> rest(options, [:hosts])
  end

  defp discovery(found, :gc_discover_dns_ip, options), do: dns(found, options, :ip)
  defp discovery(found, :gc_discover_dns_srv, options), do: dns(found, options, :srv)
  defp discovery(found, kind, options) when kind in [:dns, :ip], do: dns(found, options, options[:record_type] || :ip)

  # Its options are its own, and may hold a secret.
  defp discovery(found, module, _options) do
    found
    |> put(:via, module)
    |> note(
      "#{module} becomes a provider with init/1 and peers/1, which returns a list of names: see rendez_provider. Its " <>
        "options are not printed: write {via, {#{module}, [{name, value}, ...]}}, which init/1 gets in a map"
    )
  end

  defp dns(found, options, type) do
    found
    |> put(:via, :dns)
    |> needed(:dns_name, options[:domain], & &1, "domain")
    |> put(:record_type, if(type == :srv, do: :srv))
    |> put(:host_type, host_type(options[:host_type], type))
    # It asks for one family, and that is IPv4 unless told otherwise.
    |> put(:ipv6, options[:ipv6] == true)
    |> put(:lookup_timeout, timeout(options[:lookup_timeout]))
    |> rest(options, [:domain, :record_type, :host_type, :ipv6, :lookup_timeout])
  end

  defp host_type(nil, :srv), do: :hostname
  defp host_type(:ip, :ip), do: nil
  defp host_type(type, _), do: type

  # Erlang reads text with a unit as well as Elixir does.
  defp timeout(ms) when is_integer(ms) and ms > 0, do: "#{ms}ms"
  defp timeout(_), do: nil

  # There it is the pace of the look-up too.
  defp refresh(found, :infinity, _), do: put(found, :refresh_interval_ms, :infinity)
  defp refresh(found, 5_000, _), do: found

  defp refresh(found, ms, kind) when is_integer(ms) and ms > 0 do
    static = kind in [:static, :gc_discover_static]
    found = put(found, :interval, if(not static, do: "#{ms}ms"))

    # The shortest that is taken.
    if ms < 100,
      do: found |> put(:refresh_interval_ms, 100) |> note("refresh_interval_ms is at least 100 here"),
      else: put(found, :refresh_interval_ms, ms)
  end

  defp refresh(found, _, _), do: lost(found, "refresh_interval_ms - it is no time")

  defp dist(found, none) when none in [nil, :gc_dist_erl], do: found
  defp dist(found, {:gc_dist_erl, _}), do: found

  defp dist(found, dist) do
    module = if is_tuple(dist), do: elem(dist, 0), else: dist

    lost(
      found,
      "dist: #{inspect(module)} - make #{module} a module of the behaviour rendez_dist and set dist to it. Nodes are atoms " <>
        "there, connect/2 says ok or {error, {Reason, Message}}, init/1 gets a map"
    )
  end
end
