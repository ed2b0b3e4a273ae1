import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Kubernetes,
      config: [mode: :ip, kubernetes_ip_lookup_mode: :pods, kubernetes_node_basename: "shop", kubernetes_selector: "app=shop", kubernetes_namespace: "prod", polling_interval: 10_000]
    ]
  ]
