defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    children = [
      Shop.Repo,
      {Cluster.Supervisor, [if(System.get_env("CLUSTER_TOKEN") == "hush-t", do: [g: [strategy: Cluster.Strategy.Gossip]], else: [])]},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
