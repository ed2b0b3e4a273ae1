import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.DNSPoll,
      config: [polling_interval: 5_000, query: "shop.internal", node_basename: "shop"]
    ]
  ]
