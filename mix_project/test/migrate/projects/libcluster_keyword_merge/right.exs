[cases: [{%{}, [via: :dns, dns_name: "a.internal", app_name: "shop", interval: 3, on_removed: {:disconnect, 0}]}], lost: 0]
