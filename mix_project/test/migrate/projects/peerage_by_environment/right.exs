[cases: [{%{}, [via: :dns, dns_name: "shop.internal", app_name: "shop", ipv6: false, interval: 10]}], lost: 0, says: ["in dev and test it is another configuration"]]
