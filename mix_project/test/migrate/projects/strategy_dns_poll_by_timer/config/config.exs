import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.DNSPoll,
      config: [polling_interval: :timer.seconds(10), query: "shop.internal", node_basename: "shop"]
    ]
  ]
