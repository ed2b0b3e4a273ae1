import Config

topologies =
  case System.get_env("STRATEGY") do
    "epmd" -> [shop: [strategy: Cluster.Strategy.LocalEpmd]]
    other -> raise "unknown strategy #{other}"
  end

config :libcluster, topologies: topologies
