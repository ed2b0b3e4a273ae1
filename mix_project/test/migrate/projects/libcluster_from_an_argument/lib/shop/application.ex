defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, args) do
    children = [
      Shop.Repo,
      {Cluster.Supervisor, [args[:topologies]]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
