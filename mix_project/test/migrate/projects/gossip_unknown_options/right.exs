[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster]]}], lost: 3, says: ["colour: :red"]]
