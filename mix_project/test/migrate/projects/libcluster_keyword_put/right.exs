[cases: [{%{}, [via: :dns, dns_name: "a.internal", app_name: "shop", interval: 2, on_removed: {:disconnect, 0}]}], lost: 0]
