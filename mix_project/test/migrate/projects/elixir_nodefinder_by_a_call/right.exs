[cases: [{%{}, [via: :multicast, dialects: [:native, :nodefinder]]}], lost: 0, says: ["lib/shop.ex:3"]]
