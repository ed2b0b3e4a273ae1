[cases: [{%{}, [via: :dns, dns_name: "shop.internal", interval: 9]}], lost: 0]
