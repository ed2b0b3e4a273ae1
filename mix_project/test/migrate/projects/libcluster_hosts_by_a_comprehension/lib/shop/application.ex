defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    hosts = for n <- 1..3, do: :"shop#{n}@10.0.0.#{n}"
    topologies = [shop: [strategy: Cluster.Strategy.Epmd, config: [hosts: hosts]]]

    children = [
      Shop.Repo,
      {Cluster.Supervisor, [topologies]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
