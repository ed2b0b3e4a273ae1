import Config

config :peerage, via: (if config_env() == :prod, do: Peerage.Via.Dns, else: Peerage.Via.Self), dns_name: "shop.internal", app_name: "shop"
