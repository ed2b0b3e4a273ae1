import Config

config :peerage, via: Peerage.Via.Udp, port: {:system, "PORT", "45901", {String, :to_integer}}
