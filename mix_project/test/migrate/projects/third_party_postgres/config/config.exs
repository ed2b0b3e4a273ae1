import Config

config :libcluster,
  topologies: [
    shop: [
      strategy: LibclusterPostgres.Strategy,
      config: [hostname: "db", username: "u", password: "hush-pg", channel_name: "c"]
    ]
  ]
