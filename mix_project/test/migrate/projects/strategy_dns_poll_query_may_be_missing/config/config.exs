import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.DNSPoll,
      config: [query: System.get_env("QUERY"), node_basename: "shop"]
    ]
  ]
