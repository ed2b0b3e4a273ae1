[cases: [{%{"SHOP_DNS" => "a.b"}, [via: :dns, dns_name: "a.b", app_name: "shop", ipv6: false, interval: 10]}, {%{}, []}], lost: 0]
