[cases: [{%{}, [via: :dns, dns_name: "q.internal"]}], lost: 0, says: ["lib/shop/broken.ex: a syntax error on line"]]
