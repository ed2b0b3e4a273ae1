defmodule Rendez.Migrate.Strategies do
  @moduledoc "The strategies of libcluster, and what becomes of those of other packages."
  import Rendez.Migrate.Found
  import Rendez.Migrate.Libcluster, only: [disconnects: 1, feature: 2, gossip: 3]
  alias Rendez.Migrate.{Eval, ThirdParty, Value}
  alias Rendez.Migrate.Value.{Choice, Code}

  @doc "Translates the options of a strategy."
  @spec translate(Rendez.Migrate.Found.t(), Value.t(), keyword(), Version.t() | nil) :: Rendez.Migrate.Found.t()
  def translate(found, Cluster.Strategy.Gossip, config, version), do: gossip(found, config, version)

  def translate(found, Cluster.Strategy.Epmd, config, _) do
    found
    |> put(:via, :list)
    |> hosts(Keyword.get(config, :hosts, []))
    |> tried_once(config)
    |> rest(config, [:hosts, :timeout])
  end

  def translate(found, Cluster.Strategy.LocalEpmd, config, _) do
    found
    |> put(:via, :epmd)
    |> note(
      "libcluster asks EPMD once, when it starts; here it is asked again and again, so nodes that start later are found"
    )
    |> rest(config, [])
  end

  def translate(found, Cluster.Strategy.ErlangHosts, config, _) do
    found
    |> put(:via, :hosts_file)
    |> every(config[:timeout])
    |> note(
      ".hosts.erlang is read again when it changes, and looked for where OTP does" <>
        if(config[:timeout] in [nil, :infinity], do: "; libcluster without timeout looks once, when it starts", else: "")
    )
    |> rest(config, [:timeout])
  end

  def translate(found, Cluster.Strategy.DNSPoll, config, _) do
    found
    |> put(:via, :dns)
    |> needed(:dns_name, config[:query], &text/1, "query")
    |> needed(:app_name, config[:node_basename], &text/1, "node_basename")
    |> polled(config)
    |> resolver(config)
    |> rest(config, [:query, :node_basename, :polling_interval, :resolver])
  end

  def translate(found, Cluster.Strategy.Kubernetes, config, _) do
    found
    |> put(:via, :kubernetes)
    |> needed(:selector, config[:kubernetes_selector], &text/1, "kubernetes_selector")
    |> put(:namespace, text(config[:kubernetes_namespace]))
    |> needed(:app_name, config[:kubernetes_node_basename], &text/1, "kubernetes_node_basename")
    |> lookup(config[:kubernetes_ip_lookup_mode])
    |> mode(config[:mode])
    |> put(:service_name, text(config[:kubernetes_service_name]))
    |> put(:cluster_domain, domain(config[:kubernetes_cluster_name]))
    |> put(:service_account, text(config[:kubernetes_service_account_path]))
    |> disconnects()
    |> feature(:kubernetes)
    |> note(
      "the API is watched, not polled: the service account needs the verb watch beside list" <>
        if(config[:kubernetes_ip_lookup_mode] == :pods,
          do: "",
          else: ", for endpointslices in the API group discovery.k8s.io, which take the place of endpoints"
        )
    )
    |> master(config[:kubernetes_master])
    |> rest(config, [
      :kubernetes_selector,
      :kubernetes_namespace,
      :kubernetes_node_basename,
      :kubernetes_ip_lookup_mode,
      :mode,
      :kubernetes_service_name,
      :kubernetes_cluster_name,
      :kubernetes_service_account_path,
      # A watch says what changes as it does.
      :polling_interval,
      :kubernetes_use_cached_resources,
      :kubernetes_master
    ])
  end

  def translate(found, Cluster.Strategy.Kubernetes.DNS, config, _) do
    found
    |> put(:via, :dns)
    |> needed(:dns_name, config[:service], &text/1, "service")
    |> needed(:app_name, config[:application_name], &text/1, "application_name")
    |> polled(config)
    |> resolver(config)
    |> rest(config, [:service, :application_name, :polling_interval, :resolver])
  end

  def translate(found, Cluster.Strategy.Kubernetes.DNSSRV, config, _) do
    found =
      found
      |> put(:via, :dns)
      |> needed(:dns_name, config[:service], & &1, "service")
      |> needed(:namespace, config[:namespace], & &1, "namespace")

    found
    |> srv_name()
    |> put(:record_type, :srv)
    |> put(:host_type, :hostname)
    |> needed(:app_name, config[:application_name], &text/1, "application_name")
    |> polled(config)
    |> note("CLUSTER_DOMAIN is not read: write the domain of the Kubernetes cluster into dns_name if it is another")
    |> resolver(config)
    |> rest(config, [:service, :namespace, :application_name, :polling_interval, :resolver])
  end

  def translate(found, Cluster.Strategy.Rancher, config, _) do
    found
    |> put(:via, :rancher)
    |> needed(:app_name, config[:node_basename], &text/1, "node_basename")
    |> every(config[:polling_interval], 5_000)
    |> disconnects()
    |> put(:stack, text(config[:stack]))
    |> put(:service, text(config[:service]))
    |> feature(:rancher)
    |> rest(config, [:node_basename, :polling_interval, :stack, :service])
  end

  def translate(found, nil, _, _), do: %{lost(found, "a topology without a strategy") | options: nil}

  def translate(found, strategy, config, _) when is_atom(strategy), do: ThirdParty.translate(found, strategy, config)

  def translate(found, strategy, _, _) do
    place = if place = Value.place(strategy), do: " at #{place}", else: ""
    %{lost(found, "strategy: it is computed#{place}. Write config :rendez for each that it can be") | options: nil}
  end

  # --- Parts ---

  # An empty list starts nothing.
  defp hosts(found, hosts), do: needed(found, :node_list, hosts, & &1, "hosts")

  # Without a timeout libcluster connects when it starts and never again.
  defp tried_once(found, config) do
    if config[:timeout] in [nil, :infinity],
      do:
        note(
          found,
          "nodes that were lost are connected again, which libcluster does not do without timeout. Where that is not " <>
            "wanted: refresh_interval_ms: :infinity"
        ),
      else: found
  end

  defp polled(found, config), do: found |> every(config[:polling_interval], 5_000) |> disconnects()

  defp resolver(found, config),
    do: aside(found, config, :resolver, "a function cannot be configured: write a module with poll/0")

  # Every pod with an address counts in that mode, ready or not.
  defp lookup(found, :pods), do: found |> put(:lookup, :pods) |> put(:ready_only, false)
  defp lookup(found, endpoints) when endpoints in [nil, :endpoints], do: put(found, :lookup, :endpoint_slices)

  defp lookup(found, %_{} = code) do
    pods = %Code{ast: {:==, [], [Value.quoted(code), :pods]}, place: Value.place(code), problems: Value.problems(code)}

    found
    |> put(:lookup, Value.choice(pods, :pods, :endpoint_slices))
    |> put(:ready_only, %{pods | ast: {:!=, [], [Value.quoted(code), :pods]}})
  end

  defp lookup(found, _), do: lost(found, "kubernetes_ip_lookup_mode: it is :endpoints or :pods in libcluster")

  defp mode(found, default) when default in [nil, :ip], do: found
  defp mode(found, mode) when mode in [:dns, :hostname], do: put(found, :mode, mode)
  defp mode(found, %Code{} = code), do: put(found, :mode, code)
  defp mode(found, %Choice{} = code), do: put(found, :mode, code)
  defp mode(found, _), do: lost(found, "mode: it is :ip, :dns or :hostname in libcluster")

  defp domain(name) when name in [nil, :cluster, "cluster"], do: nil
  defp domain(name), do: Eval.text([text(name), ".local"])

  # Only the cluster's own is named otherwise in the pod's environment.
  defp master(found, default) when default in [nil, "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"],
    do: found

  defp master(found, _),
    do: lost(found, "kubernetes_master - the API's address comes from the pod's environment; api_server sets another")

  defp srv_name(%{options: nil} = found), do: found

  defp srv_name(found) do
    {service, options} = Keyword.pop(found.options, :dns_name)
    {namespace, options} = Keyword.pop(options, :namespace)

    put(%{found | options: options}, :dns_name, Eval.text([text(service), ".", text(namespace), ".svc.cluster.local"]))
  end
end
