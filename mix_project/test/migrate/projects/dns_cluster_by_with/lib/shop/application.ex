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
    with {:ok, query} <- System.fetch_env("QUERY") do
      {DNSCluster, query: query}
    else
      _ -> Shop.Nothing
    end
  end
end
