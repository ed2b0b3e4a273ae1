import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [broadcast_only: true, multicast_addr: "255.255.255.255", port: 45892]
    ]
  ]
