import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Kubernetes,
      config: [kubernetes_ip_lookup_mode: :pods, kubernetes_node_basename: System.fetch_env!("RELEASE_NAME"), kubernetes_selector: "app=#{System.fetch_env!("RELEASE_NAME")}", kubernetes_namespace: System.get_env("NAMESPACE", "default")]
    ]
  ]
