[cases: [{%{}, [via: :dns, dns_name: "shop.internal", interval: 10]}], lost: 0]
