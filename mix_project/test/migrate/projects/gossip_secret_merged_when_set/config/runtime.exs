import Config

if secret = System.get_env("SECRET") do
  config :libcluster, topologies: [shop: [config: [secret: secret]]]
end
