import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [if_addr: "10.0.0.7"]
    ]
  ]
