import Config

if System.get_env("FLY_APP_NAME") do
  config :shop, :dns_cluster_query, "#{System.get_env("FLY_APP_NAME")}.internal"
end
