import Config

read = fn name -> System.get_env(name) end

config :shop, dns_cluster_query: read.("QUERY")
