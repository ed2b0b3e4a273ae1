import Config

if app = System.get_env("FLY_APP_NAME") do
  config :shop, :dns_cluster_query, app <> ".internal"
end
