[cases: [{%{"SHOP_DNS" => "a.b"}, [via: :dns, dns_name: "a.b", app_name: "shop", ipv6: false, interval: 5]}], file: "config/runtime.exs", lost: 0]
