[cases: [{%{}, []}], lost: 1, says: ["config: it is computed at lib/shop/application.ex:8"]]
