import Config

config :peerage, via: Peerage.Via.Dns, dns_name: "shop.internal", app_name: "shop"
