[cases: [{%{}, [via: :dns, dns_name: "shop.internal", app_name: "shop", interval: 10, on_removed: {:disconnect, 0}]}], lost: 0]
