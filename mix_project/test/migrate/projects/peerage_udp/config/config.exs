import Config

config :peerage, via: Peerage.Via.Udp, serves: true, ip: {0, 0, 0, 0}, port: 45_900, multicast_addr: {230, 1, 1, 1}, ttl: 1
