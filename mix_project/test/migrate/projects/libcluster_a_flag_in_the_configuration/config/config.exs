import Config

config :shop, clustering: [enabled: false]
