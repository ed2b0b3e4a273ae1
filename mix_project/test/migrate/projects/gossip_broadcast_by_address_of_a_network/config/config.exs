import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [multicast_addr: {127, 255, 255, 255}, port: 45000]
    ]
  ]
