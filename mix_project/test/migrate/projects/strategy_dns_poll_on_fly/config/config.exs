import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.DNSPoll,
      config: [query: "#{System.fetch_env!("FLY_APP_NAME")}.internal", node_basename: System.fetch_env!("FLY_APP_NAME"), polling_interval: 5_000]
    ]
  ]
