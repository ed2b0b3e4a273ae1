[cases: [{%{}, [clusters: [{Shop.A, [via: :dns, dns_name: "a.internal"]}, {Shop.B, [via: :dns, dns_name: "b.internal"]}]]}], lost: 0]
