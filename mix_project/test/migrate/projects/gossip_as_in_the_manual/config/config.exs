import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [port: 45892, if_addr: "0.0.0.0", multicast_if: "127.0.0.1", multicast_addr: "233.252.1.32", multicast_ttl: 1, secret: "hush-somepassword"]
    ]
  ]
