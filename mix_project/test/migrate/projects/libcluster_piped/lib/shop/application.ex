defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    [shop: [strategy: Cluster.Strategy.Epmd, config: [hosts: [:"a@127.0.0.1", :"b@127.0.0.1"], timeout: 30_000]]] |> then(&[&1]) |> Cluster.Supervisor.start_link()

    children = [
      Shop.Repo,
      Shop.Worker,
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
