defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    query = System.get_env("QUERY")

    children = [
      Shop.Repo,
      query && {DNSCluster, query: query},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end
end
