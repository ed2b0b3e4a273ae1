defmodule Shop.Application do
  use Application
  @topologies [shop: [strategy: Cluster.Strategy.Epmd, config: [hosts: [:"a@127.0.0.1", :"b@127.0.0.1"], timeout: 30_000]]]

  @impl true
  def start(_type, _args) do
    children = [
      Shop.Repo,
      {Cluster.Supervisor, [@topologies, [name: Shop.ClusterSupervisor]]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
