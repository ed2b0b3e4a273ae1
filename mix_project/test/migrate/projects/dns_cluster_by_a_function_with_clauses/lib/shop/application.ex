defmodule Shop.Application do
  use Application

  @impl true
  def start(_type, _args) do
    children = [
      Shop.Repo,
      {DNSCluster, query: query(Mix.env())},
      ShopWeb.Endpoint
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Shop.Supervisor)
  end

  defp query(:prod), do: "prod.internal"
  defp query(_), do: "other.internal"
end
