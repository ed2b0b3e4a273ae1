import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [secret: System.fetch_env!("GOSSIP_SECRET")]
    ]
  ]
