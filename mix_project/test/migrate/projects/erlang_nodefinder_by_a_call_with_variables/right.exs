[cases: [{%{}, []}], lost: 1, says: ["src/shop_app.erl:2"]]
