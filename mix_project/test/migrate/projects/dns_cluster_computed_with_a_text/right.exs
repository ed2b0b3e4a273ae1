[cases: [{%{}, []}], lost: 1, says: ["at lib/shop/application.ex:8"]]
