defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    defaults = [node_basename: "shop", polling_interval: :timer.seconds(3)]
    topologies = [shop: [strategy: Cluster.Strategy.DNSPoll, config: Keyword.merge(defaults, query: "a.internal")]]

    children = [
      Shop.Repo,
      {Cluster.Supervisor, [topologies]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
