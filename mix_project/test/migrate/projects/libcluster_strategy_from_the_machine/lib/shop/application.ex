defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    children = [
      Shop.Repo,
      {Cluster.Supervisor, [[shop: [strategy: Module.concat(Cluster.Strategy, System.get_env("STRATEGY"))]]]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
