import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.SRV,
      config: [query: "_shop._tcp.internal"]
    ]
  ]
