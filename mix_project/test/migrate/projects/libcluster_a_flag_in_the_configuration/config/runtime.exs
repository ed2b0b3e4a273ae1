import Config

config :shop, clustering: [enabled: System.get_env("CLUSTER") in ["1", "true"]]
