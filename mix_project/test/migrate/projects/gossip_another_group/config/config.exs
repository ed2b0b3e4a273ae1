import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [multicast_addr: {230, 1, 1, 251}, port: 45_892, multicast_ttl: 4]
    ]
  ]
