import Config

config :peerage, via: Peerage.Via.Dns, dns_name: System.get_env("SHOP_DNS"), app_name: "shop"
