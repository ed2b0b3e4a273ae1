[cases: [{%{}, [via: :dns, dns_name: "shop.internal", app_name: "shop", on_removed: {:disconnect, 0}]}], lost: 1]
