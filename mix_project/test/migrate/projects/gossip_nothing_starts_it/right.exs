[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster]]}], lost: 0, says: ["nothing in lib starts a Cluster.Supervisor"]]
