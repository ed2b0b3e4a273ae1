defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    hosts =
      System.get_env("CLUSTER_NODES", "")
      |> String.split(",", trim: true)
      |> Enum.map(&String.to_atom/1)

    topologies = [shop: [strategy: Cluster.Strategy.Epmd, config: [hosts: hosts]]]

    children = [
      Shop.Repo,
      {Cluster.Supervisor, [topologies]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
