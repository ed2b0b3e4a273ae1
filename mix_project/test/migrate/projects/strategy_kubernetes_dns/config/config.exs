import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Kubernetes.DNS,
      config: [service: "shop-nodes", application_name: "shop", polling_interval: 10_000]
    ]
  ]
