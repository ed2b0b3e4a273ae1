[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster]]}], lost: 1, says: ["connect, disconnect - a module of the behaviour rendez_dist"]]
