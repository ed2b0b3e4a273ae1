import Config

config :libcluster,
  topologies:
    (cond do
       System.get_env("A") -> [shop: [strategy: Cluster.Strategy.LocalEpmd]]
       System.get_env("B") -> [shop: [strategy: Cluster.Strategy.ErlangHosts]]
       true -> []
     end)
