import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [colour: :red, password: "hush-x", token: ~c"hush-y"]
    ]
  ]
