import Config

config :libcluster,
  topologies: [
    east: [strategy: Cluster.Strategy.Gossip, config: [port: 4000, secret: "hush-east"]],
    west: [strategy: Cluster.Strategy.Gossip, config: [port: 5000, secret: "hush-west"]]
  ]
