defmodule Rendez.Migrate.ThirdParty do
  @moduledoc "Strategies of other packages, and of the project's own: one line on what takes their place."
  import Rendez.Migrate.Found
  alias Rendez.Migrate.Found

  # By what the module is called: those that are published, and what is written in their manner.
  @known [
    {~r/EC2|Ec2/, "via: :ec2 finds instances by tags: [{\"NAME\", \"VALUE\"}], built in by features: [:ec2]"},
    {~r/ECS|Ecs/, "give the service a name in Cloud Map and find it by via: :dns, dns_name: \"...\""},
    {~r/SRV|Srv/, "via: :dns, record_type: :srv, host_type: :hostname, dns_name: \"...\""},
    {~r/DNS|Dns/, "via: :dns, dns_name: \"...\", app_name: \"...\""},
    {~r/Consul/, "ask Consul's DNS: via: :dns, dns_name: \"NAME.service.consul\", record_type: :srv"},
    {~r/Nomad/, "a service that is registered with Consul is found by via: :dns; otherwise write a module with poll/0"},
    {~r/Kubernetes|K8s|KubeDNS/, "via: :kubernetes, selector: \"app=...\", built in by features: [:kubernetes]"},
    {~r/Rancher/, "via: :rancher, built in by features: [:rancher]"},
    {~r/Epmd|EPMD/, "via: :epmd, hosts: [...]"},
    {~r/Local/, "via: :epmd"},
    {~r/Gossip|Multicast|Broadcast|UDP/, "via: :multicast"},
    {~r/Hosts/, "via: :hosts_file, or via: :file, path: \"...\""}
  ]

  @doc "The options of a strategy are not printed: any of them may be a password."
  @spec translate(Found.t(), module(), keyword()) :: Found.t()
  def translate(found, strategy, config) do
    name = inspect(strategy)

    what =
      case Enum.find(@known, fn {pattern, _} -> name =~ pattern end) do
        {_, what} ->
          what <> ". Otherwise a module of yours with poll/0 that returns the names: via: MyApp.Peers"

        nil ->
          "a module of yours with poll/0 that returns the names takes its place: via: MyApp.Peers (see Rendez.Provider)"
      end

    keys = config |> Enum.map(&key/1) |> Enum.reject(&is_nil/1)
    options = if keys == [], do: "", else: " (its options: #{Enum.join(keys, ", ")})"
    %{lost(found, "strategy: #{name}#{options} - it is not part of libcluster. Here: #{what}") | options: nil}
  end

  defp key({key, _}) when is_atom(key), do: key
  defp key(_), do: nil
end
