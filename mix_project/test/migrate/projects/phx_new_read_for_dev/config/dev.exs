import Config

config :shop, Shop.Repo, username: "postgres", password: "hush-postgres"
