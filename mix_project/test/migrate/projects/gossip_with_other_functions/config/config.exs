import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: Cluster.Strategy.Gossip,
      connect: {Shop.Dist, :connect, ["hush-token"]},
      disconnect: {Shop.Dist, :disconnect, ["hush-token"]}
    ]
  ]
