import Config

if System.get_env("KUBERNETES_SERVICE_HOST") do
  config :libcluster, topologies: [k8s: [strategy: Cluster.Strategy.Kubernetes.DNS, config: [service: "shop", application_name: "shop"]]]
else
  config :libcluster, topologies: [lan: [strategy: Cluster.Strategy.Gossip]]
end
