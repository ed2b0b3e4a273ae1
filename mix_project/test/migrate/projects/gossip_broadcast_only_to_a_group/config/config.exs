import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [broadcast_only: true]
    ]
  ]
