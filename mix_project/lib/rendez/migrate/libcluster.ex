defmodule Rendez.Migrate.Libcluster do
  @moduledoc "libcluster: the topologies of `config :libcluster`, or of a `Cluster.Supervisor` in the sources."
  import Rendez.Migrate,
    only: [address: 1, lost: 2, ms: 1, ms: 2, new: 1, note: 2, put: 3, rest: 3, secret: 3, show: 1, socket: 2, text: 1]

  @doc "Translates the environment of the application `libcluster`."
  @spec translate(keyword()) :: [Rendez.Migrate.found()]
  def translate(env) do
    case Keyword.get(env, :topologies) do
      topologies when is_list(topologies) and topologies != [] ->
        several = length(topologies) > 1
        for {name, spec} <- topologies, do: %{topology(name, spec) | name: if(several, do: name)}

      empty when empty in [nil, []] ->
        []

      other ->
        [
          %{
            lost(new("libcluster"), "topologies: #{show(other)} - it is not known before the project runs")
            | options: nil
          }
        ]
    end
  end

  defp topology(name, spec) do
    {strategy, config} = {spec[:strategy], spec[:config] || []}

    new("libcluster, topology #{name} by #{inspect(strategy)}")
    |> strategy(strategy, config)
    |> functions(spec)
    |> rest(spec, [:strategy, :config, :connect, :disconnect, :list_nodes])
  end

  defp strategy(found, Cluster.Strategy.Epmd, config) do
    found
    |> put(:via, :list)
    |> put(:node_list, config[:hosts] || [])
    |> tried_once(config)
    |> rest(config, [:hosts, :timeout])
  end

  defp strategy(found, Cluster.Strategy.LocalEpmd, config), do: found |> put(:via, :epmd) |> rest(config, [])

  defp strategy(found, Cluster.Strategy.ErlangHosts, config) do
    found
    |> put(:via, :hosts_file)
    |> put(:interval, ms(config[:timeout]))
    |> note(".hosts.erlang is read again when it changes, and looked for where OTP does")
    |> rest(config, [:timeout])
  end

  defp strategy(found, Cluster.Strategy.Gossip, config) do
    found
    |> put(:via, :multicast)
    |> put(:dialects, [:native, :libcluster])
    |> put(:libcluster_group, gossip_group(config))
    |> put(:interface, config[:multicast_if] && text(config[:multicast_if]))
    |> put(:ttl, if(config[:multicast_ttl] not in [nil, 1], do: config[:multicast_ttl]))
    |> put(:libcluster_broadcast_only, if(config[:broadcast_only], do: true))
    |> secret(:libcluster_secret, config[:secret])
    |> note(
      "while nodes with libcluster are left, both are spoken. Remove dialects and what is libcluster's when the last of them is gone" <>
        if(config[:secret], do: "", else: ": the dialect of libcluster has no authentication without a secret")
    )
    |> bound(config)
    |> only_multicast(config)
    |> rest(config, [:multicast_if, :multicast_ttl, :secret, :multicast_addr, :port, :if_addr, :broadcast_only])
  end

  defp strategy(found, Cluster.Strategy.DNSPoll, config) do
    found
    |> put(:via, :dns)
    |> put(:dns_name, text(config[:query]))
    |> put(:app_name, text(config[:node_basename]))
    |> put(:interval, ms(config[:polling_interval], 5_000))
    |> disconnects()
    |> resolver(config)
    |> rest(config, [:query, :node_basename, :polling_interval, :resolver])
  end

  defp strategy(found, Cluster.Strategy.Kubernetes, config) do
    found
    |> put(:via, :kubernetes)
    |> put(:selector, text(config[:kubernetes_selector]))
    |> put(:namespace, text(config[:kubernetes_namespace]))
    |> put(:app_name, text(config[:kubernetes_node_basename]))
    |> put(:lookup, if(config[:kubernetes_ip_lookup_mode] == :pods, do: :pods, else: :endpoint_slices))
    |> put(:mode, if(config[:mode] in [:dns, :hostname], do: config[:mode]))
    |> put(:service_name, text(config[:kubernetes_service_name]))
    |> put(:cluster_domain, domain(config[:kubernetes_cluster_name]))
    |> put(:service_account, text(config[:kubernetes_service_account_path]))
    |> disconnects()
    |> feature(:kubernetes)
    |> note("the API is watched, not polled: the service account needs the verb watch beside list")
    |> note("endpoint slices are read instead of endpoints, in the API group discovery.k8s.io")
    |> set_aside(config, :polling_interval, "changes are watched for, nothing is polled")
    |> set_aside(config, :kubernetes_use_cached_resources, "a watch begins where the list ended")
    |> set_aside(
      config,
      :kubernetes_master,
      "the API's address comes from the pod's environment; api_server sets another"
    )
    |> rest(config, [
      :kubernetes_selector,
      :kubernetes_namespace,
      :kubernetes_node_basename,
      :kubernetes_ip_lookup_mode,
      :mode,
      :kubernetes_service_name,
      :kubernetes_cluster_name,
      :kubernetes_service_account_path,
      :polling_interval,
      :kubernetes_use_cached_resources,
      :kubernetes_master
    ])
  end

  defp strategy(found, Cluster.Strategy.Kubernetes.DNS, config) do
    found
    |> put(:via, :dns)
    |> put(:dns_name, text(config[:service]))
    |> put(:app_name, text(config[:application_name]))
    |> put(:interval, ms(config[:polling_interval], 5_000))
    |> disconnects()
    |> resolver(config)
    |> rest(config, [:service, :application_name, :polling_interval, :resolver])
  end

  defp strategy(found, Cluster.Strategy.Kubernetes.DNSSRV, config) do
    found
    |> put(:via, :dns)
    |> put(:dns_name, service(text(config[:service]), text(config[:namespace])))
    |> put(:record_type, :srv)
    |> put(:host_type, :hostname)
    |> put(:app_name, text(config[:application_name]))
    |> put(:interval, ms(config[:polling_interval], 5_000))
    |> disconnects()
    |> note("CLUSTER_DOMAIN is not read: write the domain of the Kubernetes cluster into dns_name if it is another")
    |> resolver(config)
    |> rest(config, [:service, :namespace, :application_name, :polling_interval, :resolver])
  end

  defp strategy(found, Cluster.Strategy.Rancher, config) do
    found
    |> put(:via, :rancher)
    |> feature(:rancher)
    |> put(:app_name, text(config[:node_basename]))
    |> put(:interval, ms(config[:polling_interval], 5_000))
    |> disconnects()
    |> rest(config, [:node_basename, :polling_interval, :stack, :service])
    |> then(fn found ->
      Enum.reduce([:stack, :service], found, fn key, found -> put(found, key, text(config[key])) end)
    end)
  end

  defp strategy(found, nil, _), do: %{lost(found, "a topology without a strategy") | options: nil}

  # A package of its own, or the project's.
  defp strategy(found, strategy, config) do
    found =
      lost(
        found,
        "strategy: #{show(strategy)} - it is not part of libcluster. Where it polls, a module with poll/0 " <>
          "that returns the names takes its place: config :rendez, via: MyApp.Peers; `mix help rendez.migrate` says more"
      )

    %{rest(found, config, []) | options: nil}
  end

  # Without a timeout libcluster connects when it starts and never again.
  defp tried_once(found, config) do
    if config[:timeout] in [nil, :infinity],
      do:
        note(
          found,
          "nodes that were lost are connected again, which libcluster does not do without timeout. Where that is " <>
            "not wanted: refresh_interval_ms: :infinity"
        ),
      else: found
  end

  defp gossip_group(config) do
    group = address(config[:multicast_addr] || {233, 252, 1, 32})
    port = config[:port] || 45_892
    if {group, port} != {"233.252.1.32", 45_892}, do: socket(group, port)
  end

  defp bound(found, config) do
    if config[:if_addr] in [nil, "0.0.0.0", {0, 0, 0, 0}],
      do: found,
      else:
        lost(found, "if_addr: #{show(config[:if_addr])} - sockets listen to the group; interface chooses the network")
  end

  defp only_multicast(found, config) do
    if config[:broadcast_only],
      do:
        note(
          found,
          "the dialect of libcluster is broadcast; our own goes to a multicast group. Where the network takes no " <>
            "multicast, find nodes by dns, epmd or subnet in the end"
        ),
      else: found
  end

  defp resolver(found, config),
    do: set_aside(found, config, :resolver, "a function cannot be configured: write a module with poll/0")

  # Left out of the library unless asked for.
  defp feature(found, feature) do
    note(
      found,
      "build the library with it: config :rendez, features: [#{inspect(feature)}] in config/config.exs, and " <>
        "mix deps.compile rendez --force"
    )
  end

  defp set_aside(found, config, key, why) do
    if Keyword.has_key?(config, key), do: lost(found, "#{key}: #{show(config[key])} - #{why}"), else: found
  end

  defp disconnects(found) do
    found
    |> put(:on_removed, {:disconnect, 0})
    |> note(
      "as libcluster does, a node that the source no longer names is disconnected at once. Give it time to end its " <>
        "work with on_removed: {:disconnect, 30_000}, or remove the line to leave it be"
    )
  end

  defp domain(name) when name in [nil, :cluster, "cluster"], do: nil
  defp domain(name), do: "#{text(name)}.local"

  defp service(service, namespace) when is_binary(service) and is_binary(namespace),
    do: "#{service}.#{namespace}.svc.cluster.local"

  defp service(service, namespace), do: {:code, ~s|"\#{#{code(service)}}.\#{#{code(namespace)}}.svc.cluster.local"|}

  defp code({:code, code}), do: code
  defp code(value), do: inspect(value)

  defp functions(found, spec) do
    Enum.reduce([:connect, :disconnect, :list_nodes], found, fn key, found ->
      if spec[key] == nil,
        do: found,
        else:
          lost(
            found,
            "#{key}: #{show(spec[key])} - a module of the behaviour rendez_dist takes the place of these " <>
              "functions: dist: MyApp.Dist"
          )
    end)
  end
end
