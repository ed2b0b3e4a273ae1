import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Rancher,
      config: [node_basename: "shop"]
    ]
  ]
