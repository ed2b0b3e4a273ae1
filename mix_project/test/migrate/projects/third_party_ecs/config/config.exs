import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: ClusterECS.Strategy,
      config: [cluster_name: "c", service_name: "s"]
    ]
  ]
