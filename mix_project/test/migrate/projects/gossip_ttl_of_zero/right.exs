[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster]]}], lost: 0, says: ["a ttl is 1 to 255 here"]]
