import Config

config :shop, :dns_cluster_query, System.fetch_env!("QUERY")
