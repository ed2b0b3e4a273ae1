[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster]]}], file: "config/config.exs", lost: 0, says: ["no authentication"]]
