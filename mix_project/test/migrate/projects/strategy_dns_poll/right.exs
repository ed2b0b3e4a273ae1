[cases: [{%{}, [via: :dns, dns_name: "shop.internal", app_name: "shop", on_removed: {:disconnect, 0}]}], lost: 0, says: ["one wrong answer is enough"]]
