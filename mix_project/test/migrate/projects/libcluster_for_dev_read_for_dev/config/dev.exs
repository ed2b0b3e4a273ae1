import Config

config :libcluster, topologies: [dev: [strategy: Cluster.Strategy.LocalEpmd]]
