[cases: [{%{"FLY_APP_NAME" => "shop"}, [via: :dns, dns_name: "shop.internal"]}, {%{}, []}], lost: 0]
