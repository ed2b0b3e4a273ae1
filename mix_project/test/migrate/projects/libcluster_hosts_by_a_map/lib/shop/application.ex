defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    hosts = Enum.map(~w(one two), &:"shop@#{&1}.example")
    topologies = [shop: [strategy: Cluster.Strategy.Epmd, config: [hosts: hosts, timeout: 5_000]]]

    children = [
      Shop.Repo,
      {Cluster.Supervisor, [topologies]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
