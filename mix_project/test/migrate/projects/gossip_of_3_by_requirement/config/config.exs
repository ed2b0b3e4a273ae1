import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip
    ]
  ]
