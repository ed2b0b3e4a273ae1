import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [secret: System.get_env("GOSSIP_SECRET") || "hush-default"]
    ]
  ]
