[cases: [{%{}, [via: :multicast, dialects: [:native, :nodefinder], nodefinder_group: ~c"226.0.0.1:6969", interface: ~c"lo", ttl: 2]}], lost: 0]
