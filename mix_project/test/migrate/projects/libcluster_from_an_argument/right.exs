[cases: [{%{}, []}], lost: 1, says: ["the argument args at lib/shop/application.ex:8"]]
