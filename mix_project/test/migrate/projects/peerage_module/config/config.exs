import Config

config :peerage, via: Rendez.TestProviders.Poll, interval: 3, password: "hush-peerage"
