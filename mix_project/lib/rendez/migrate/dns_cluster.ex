defmodule Rendez.Migrate.DnsCluster do
  @moduledoc "dns_cluster: the children `{DNSCluster, options}` in the sources of a project."
  import Rendez.Migrate.Found
  alias Rendez.Migrate.Value
  alias Rendez.Migrate.Value.{Choice, Code}

  @options [:query, :resource_types, :interval, :name, :connect_timeout, :log, :resolver]

  @doc "Translates the options of a child; `why` says what it means that there is no query."
  @spec translate(Value.t(), String.t()) :: [Rendez.Migrate.Found.t()]
  def translate(options, why \\ "") do
    for {guards, options} <- Value.alternatives(options, &is_list/1), found <- child(options, why) do
      guard(%{found | guards: []}, guards ++ found.guards)
    end
  end

  defp child(options, why) when is_list(options) do
    case Enum.split_with(Value.alternatives(options[:query]), fn {_, query} -> off?(query) end) do
      # Off where nothing is set, in whichever of the cases.
      {[_ | _], []} ->
        [%{note(new("dns_cluster"), silent(options[:query], why)) | options: nil}]

      {off, on} ->
        cases = if off == [], do: [{[], options[:query]}], else: on
        for {guards, query} <- cases, do: guard(found(query, options), guards ++ set(query))
    end
  end

  defp child(other, _) do
    place = if place = Value.place(other), do: " at #{place}", else: ""

    [
      %{
        lost(
          new("dns_cluster"),
          "its options are computed#{place}. Write config :rendez, via: :dns, dns_name: ... with the query"
        )
        | options: nil
      }
    ]
  end

  defp off?(query), do: query in [nil, false, :ignore, "", []]
  defp silent(:ignore, ""), do: "its query is :ignore: it starts nothing, as rendez does without configuration"
  defp silent(_, ""), do: "it has no query: it finds no one, as rendez does without configuration"
  defp silent(_, why), do: why

  # `query: System.get_env("Q")`: no query is no cluster. What the project computes may be :ignore as well.
  defp set(query) do
    cond do
      Value.nil?(query) ->
        [{query, true}]

      is_struct(query, Code) and not Value.always?(query) ->
        [{%{query | ast: {:not, [], [{:in, [], [query.ast, [nil, :ignore]]}]}}, true}]

      true ->
        []
    end
  end

  defp found(query, options) do
    new("dns_cluster")
    |> put(:via, :dns)
    |> put(:dns_name, names(query))
    |> types(options[:resource_types])
    |> every(options[:interval], 5_000)
    |> name(options[:name])
    |> functions(options)
    |> rest(options, @options)
  end

  defp names(list) when is_list(list),
    do: if(List.ascii_printable?(list), do: text(list), else: Enum.map(list, &names/1))

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

  defp types(found, other) do
    place = if place = Value.place(other), do: " at #{place}", else: ""
    lost(found, "resource_types: they are computed#{place}. record_type and ipv6 say the same")
  end

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
  defp name(found, %Code{}), do: note(found, "its name is computed, and names no cluster here")
  defp name(found, %Choice{}), do: note(found, "its name is computed, and names no cluster here")
  defp name(found, name) when is_atom(name), do: %{found | name: name}
  defp name(found, _), do: lost(found, "name - the name of a cluster is an atom")

  defp functions(found, options) do
    found
    |> aside(options, :connect_timeout, "an attempt lasts as long as the kernel's net_setuptime, and holds up no other")
    |> logged(options[:log])
    |> resolver(options[:resolver])
  end

  defp logged(found, none) when none in [nil, false], do: found
  defp logged(found, _), do: lost(found, "log - set the level of the logger; Rendez.subscribe/1 tells everything")

  defp resolver(found, default) when default in [nil, DNSCluster.Resolver], do: found

  defp resolver(found, _),
    do: lost(found, "resolver - a module with poll/0 takes its place: config :rendez, via: MyApp.Peers")
end
