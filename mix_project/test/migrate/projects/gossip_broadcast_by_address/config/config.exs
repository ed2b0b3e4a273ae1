import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [multicast_addr: "255.255.255.255"]
    ]
  ]
