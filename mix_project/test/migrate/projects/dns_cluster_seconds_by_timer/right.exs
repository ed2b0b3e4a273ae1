[cases: [{%{}, [via: :dns, dns_name: "shop.internal", interval: 7]}], lost: 0]
