[cases: [{%{"FLY_APP_NAME" => "shop"}, [via: :dns, dns_name: "shop.internal"]}], file: "config/runtime.exs", lost: 0]
