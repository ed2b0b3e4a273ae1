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
    case System.get_env("STRATEGY") do
      "epmd" -> [shop: [strategy: Cluster.Strategy.LocalEpmd]]
      "gossip" -> [shop: [strategy: Cluster.Strategy.Gossip, config: [secret: System.fetch_env!("SECRET")]]]
      _ -> []
    end
  end
end
