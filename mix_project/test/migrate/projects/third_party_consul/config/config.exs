import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Consul,
      config: [token: "hush-consul", service_name: "shop"]
    ]
  ]
