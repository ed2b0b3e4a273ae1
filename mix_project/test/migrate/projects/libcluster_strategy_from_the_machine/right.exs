[cases: [{%{}, []}], lost: 1, says: ["strategy: it is computed at lib/shop/application.ex:8"]]
