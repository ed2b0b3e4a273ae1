[cases: [{%{}, [via: :multicast, dialects: [:native, :nodefinder], nodefinder_hidden: true]}], lost: 0]
