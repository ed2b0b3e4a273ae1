defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    children = [
      Shop.Repo,
      {Cluster.Supervisor, [topologies()]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end

  defp topologies do
    if System.get_env("LAN"),
      do: [shop: [strategy: Cluster.Strategy.Gossip], other: [strategy: Cluster.Strategy.LocalEpmd]],
      else: [shop: [strategy: Cluster.Strategy.LocalEpmd]]
  end
end
