[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster]]}], lost: 1, says: [~S|if_addr: "10.0.0.7"|]]
