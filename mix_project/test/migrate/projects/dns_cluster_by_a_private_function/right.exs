[cases: [{%{"APP" => "shop"}, [via: :dns, dns_name: "shop.internal"]}], lost: 0]
