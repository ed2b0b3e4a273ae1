import Config

import Dotenvy

source!([".env", System.get_env()])

config :shop, dns_cluster_query: env!("QUERY", :string, nil)
