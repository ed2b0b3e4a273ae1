import Config

if config_env() in [:prod, :staging], do: config(:shop, dns_cluster_query: "a.b")
