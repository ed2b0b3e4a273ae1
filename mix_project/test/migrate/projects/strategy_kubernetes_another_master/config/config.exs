import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Kubernetes,
      config: [kubernetes_ip_lookup_mode: :pods, kubernetes_node_basename: "shop", kubernetes_selector: "app=shop", kubernetes_namespace: "prod", kubernetes_master: "https://admin:hush-pass@k8s.example"]
    ]
  ]
