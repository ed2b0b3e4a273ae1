import Config

config :libcluster, topologies: [shop: [strategy: Cluster.Strategy.Epmd, config: [hosts: [:"a@127.0.0.1", :"b@127.0.0.1"], timeout: 30_000]]]

import_config "#{config_env()}.exs"
