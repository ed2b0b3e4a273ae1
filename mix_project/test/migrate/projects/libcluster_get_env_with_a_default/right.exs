[cases: [{%{}, []}], lost: 0, says: ["config :libcluster, :topologies is not set for prod"]]
