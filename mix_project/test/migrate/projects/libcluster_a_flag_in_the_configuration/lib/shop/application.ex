defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    children = [
      Shop.Repo,
      cluster(),
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end

  defp cluster do
    if Application.get_env(:shop, :clustering)[:enabled],
      do: {Cluster.Supervisor, [[shop: [strategy: Cluster.Strategy.Epmd, config: [hosts: [:"a@127.0.0.1", :"b@127.0.0.1"], timeout: 30_000]]]]},
      else: Shop.Nothing
  end
end
