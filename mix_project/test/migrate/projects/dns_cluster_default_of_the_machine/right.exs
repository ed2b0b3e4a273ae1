[cases: [{%{"QUERY" => "a.b"}, [via: :dns, dns_name: "a.b"]}, {%{}, [via: :dns, dns_name: "shop.internal"]}], lost: 0]
