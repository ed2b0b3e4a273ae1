[env: :dev, cases: [{%{}, []}], lost: 0, says: ["config :shop, :dns_cluster_query is not set for dev"]]
