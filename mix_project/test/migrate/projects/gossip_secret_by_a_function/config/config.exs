import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [secret: Shop.Vault.read("hush-path")]
    ]
  ]
