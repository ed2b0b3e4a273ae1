import Config

config :libcluster, topologies: [shop: [config: [hosts: [:"c@127.0.0.1"]]]]
