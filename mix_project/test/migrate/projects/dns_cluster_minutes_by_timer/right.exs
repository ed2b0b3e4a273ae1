[cases: [{%{}, [via: :dns, dns_name: "shop.internal", interval: 120]}], lost: 0]
