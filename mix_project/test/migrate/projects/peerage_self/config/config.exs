import Config

config :peerage, via: Peerage.Via.Self
