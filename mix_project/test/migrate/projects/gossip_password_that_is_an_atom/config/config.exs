import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      config: [password: :"hush-atom", auth_token: 123_456_789]
    ]
  ]
