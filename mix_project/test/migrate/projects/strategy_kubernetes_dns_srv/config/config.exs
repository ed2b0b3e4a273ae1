import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Kubernetes.DNSSRV,
      config: [service: "shop", namespace: "prod", application_name: "shop"]
    ]
  ]
