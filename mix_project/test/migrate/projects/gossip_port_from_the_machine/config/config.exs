import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [port: String.to_integer(System.get_env("GOSSIP_PORT") || "45892")]
    ]
  ]
