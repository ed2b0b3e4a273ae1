defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    base = [strategy: Cluster.Strategy.DNSPoll, config: [query: "a.internal", node_basename: "shop"]]
    base = Keyword.update!(base, :config, &Keyword.put(&1, :polling_interval, 2_000))
    topologies = [shop: base]

    children = [
      Shop.Repo,
      {Cluster.Supervisor, [topologies]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
