[cases: [{%{}, [via: :dns, dns_name: "shop.internal", interval: "1500ms"]}], lost: 0]
