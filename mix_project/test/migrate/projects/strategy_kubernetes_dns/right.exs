[cases: [{%{}, [via: :dns, dns_name: "shop-nodes", app_name: "shop", interval: 10, on_removed: {:disconnect, 0}]}], lost: 0]
