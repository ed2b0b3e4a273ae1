[cases: [{%{}, [via: :multicast, dialects: [:native, :nodefinder], nodefinder_group: ~c"239.1.1.1:4000", nodefinder_hidden: true, ttl: 2]}], lost: 0]
