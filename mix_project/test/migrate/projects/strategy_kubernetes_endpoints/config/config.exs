import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Kubernetes,
      config: [mode: :hostname, kubernetes_node_basename: "shop", kubernetes_selector: "app=shop", kubernetes_service_name: "shop", kubernetes_namespace: "prod", kubernetes_cluster_name: "corp"]
    ]
  ]
