[cases: [{%{}, [via: :dns, dns_name: "shop.internal"]}], file: "config/config.exs", lost: 0]
