[cases: [{%{}, [via: :dns, dns_name: "shop.internal"]}], file: "config/prod.exs", lost: 0, says: ["in dev and test nothing is started"]]
