import Config

config :shop, cluster: [query: "q.internal", interval: 2_000]
