import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [multicast_ttl: 0]
    ]
  ]
