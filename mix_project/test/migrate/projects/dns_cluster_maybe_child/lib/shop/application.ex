defmodule Shop.Application do
  use Application

  def start(_type, _args) do
    children = [Shop.Repo] ++ cluster(Application.get_env(:shop, :cluster)) ++ [ShopWeb.Endpoint]
    Supervisor.start_link(children, strategy: :one_for_one)
  end

  defp cluster(nil), do: []
  defp cluster(options), do: [{DNSCluster, query: options[:query], interval: options[:interval]}]
end
