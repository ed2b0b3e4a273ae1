defmodule Rendez.Migrate.DnsCluster do
  @moduledoc "dns_cluster: the children `{DNSCluster, options}` in the sources of a project."
  import Rendez.Migrate, only: [lost: 2, ms: 2, new: 1, note: 2, put: 3, rest: 3, show: 1, text: 1]

  @doc "Translates the options of a child, which `Rendez.Migrate.Project` has read."
  @spec translate(keyword(), Rendez.Migrate.Project.t()) :: [Rendez.Migrate.found()]
  def translate(options, project) do
    {query, setting} = query(options[:query])
    options = for {key, value} <- options, do: {key, elem(query(value), 0)}
    found = new("dns_cluster")

    case query do
      none when none in [nil, :ignore] ->
        found = %{found | options: nil}

        [
          if setting do
            lost(
              found,
              "#{setting} is not set for #{project.env}, where DNSCluster starts nothing. Set the variable that " <>
                "config/runtime.exs reads for it, or choose another environment with --env"
            )
          else
            note(found, "its query is :ignore: it starts nothing, as rendez does without configuration")
          end
        ]

      query ->
        [
          found
          |> put(:via, :dns)
          |> put(:dns_name, names(query))
          |> types(options[:resource_types])
          |> put(:interval, ms(options[:interval], 5_000))
          |> name(options[:name])
          |> note("remove {DNSCluster, ...} from the children: rendez starts with its own application")
          |> functions(options)
          |> rest(options, [:query, :resource_types, :interval, :name, :connect_timeout, :log, :resolver])
        ]
    end
  end

  # Where it came from: the value is printed as the configuration has it.
  defp query({:configured, app, key, value}), do: {value, "config #{inspect(app)}, #{inspect(key)}"}
  defp query(value), do: {value, nil}

  defp names({:code, _} = code), do: code
  defp names(list) when is_list(list), do: Enum.map(list, &names/1)
  defp names({app_name, dns_name}), do: {text(app_name), text(dns_name)}
  defp names(name), do: text(name)

  # Addresses of both families, unless said otherwise; the name before the @ is the own one's in both packages.
  defp types(found, types) when is_list(types) do
    ip = if Enum.any?([:a, :aaaa], &(&1 in types)), do: [:ip], else: []
    srv = if :srv in types, do: [:srv], else: []

    found
    |> put(:record_type, if(srv == [], do: nil, else: single(ip ++ srv)))
    |> put(:ipv6, if(ip != [], do: family(types)))
  end

  defp types(found, nil), do: found
  defp types(found, other), do: lost(found, "resource_types: #{show(other)} - it is not known before the project runs")

  defp single([one]), do: one
  defp single(several), do: several

  defp family(types) do
    case {:a in types, :aaaa in types} do
      {true, false} -> false
      {false, true} -> true
      _ -> nil
    end
  end

  defp name(found, name) when name in [nil, DNSCluster], do: found
  defp name(found, name) when is_atom(name), do: put(found, :name, name)
  defp name(found, other), do: lost(found, "name: #{show(other)} - the name of a cluster is an atom")

  defp functions(found, options) do
    Enum.reduce(
      [
        connect_timeout: "an attempt lasts as long as the kernel's net_setuptime, and holds up no other",
        log: "set the level of the logger; Rendez.subscribe/1 tells everything",
        resolver: "a module with poll/0 takes its place: config :rendez, via: MyApp.Peers"
      ],
      found,
      fn {key, why}, found ->
        if Keyword.has_key?(options, key), do: lost(found, "#{key}: #{show(options[key])} - #{why}"), else: found
      end
    )
  end
end
