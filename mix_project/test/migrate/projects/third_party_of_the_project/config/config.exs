import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Shop.Cluster.Etcd,
      config: [endpoint: "https://u:hush-etcd@e"]
    ]
  ]
