import Config

config :peerage, via: Peerage.Via.Dns, dns_name: {:system, "SHOP_DNS"}, app_name: {:system, "SHOP_NAME", "shop"}, interval: {:system, "SHOP_SECONDS", "5", {String, :to_integer}}
