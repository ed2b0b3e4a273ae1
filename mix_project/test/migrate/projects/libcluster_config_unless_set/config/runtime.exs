import Config

unless System.get_env("NO_CLUSTER") do
  config :libcluster, topologies: [shop: [strategy: Cluster.Strategy.LocalEpmd]]
end
