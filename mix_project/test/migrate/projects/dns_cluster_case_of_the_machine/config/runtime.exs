import Config

case System.fetch_env("QUERY") do
  {:ok, query} -> config :shop, dns_cluster_query: query
  :error -> :ok
end
