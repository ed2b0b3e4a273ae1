import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Kubernetes.DNSSRV,
      config: [service: System.fetch_env!("SERVICE"), namespace: System.fetch_env!("NAMESPACE"), application_name: "shop"]
    ]
  ]
