import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [port: Application.get_env(:shop, :gossip_port, 45_000)]
    ]
  ]
