import Config

config :shop, :cluster, query: "q.internal"
