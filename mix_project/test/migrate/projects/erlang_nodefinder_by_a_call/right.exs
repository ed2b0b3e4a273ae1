[cases: [{%{}, [via: :multicast, dialects: [:native, :nodefinder]]}], file: "config/sys.config", lost: 0, says: ["src/shop_app.erl:5"]]
