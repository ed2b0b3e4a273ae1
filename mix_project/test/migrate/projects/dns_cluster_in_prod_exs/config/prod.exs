import Config

config :shop, :dns_cluster_query, "shop.internal"
