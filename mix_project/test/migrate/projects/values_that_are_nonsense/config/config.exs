import Config

config :libcluster, topologies: [{1, 2, 3}, :a, {"x", nil}, {:y, [strategy: nil]}, {:z, "hush-zz"}]
config :peerage, via: 3, dns_name: %{password: "hush-pp"}
config :nodefinder, addr: :x, port: "p"
config :gen_cluster, discovery: {:dns, "hush-gg"}
