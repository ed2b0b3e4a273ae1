[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster]]}], lost: 0]
