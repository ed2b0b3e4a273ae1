[cases: [{%{"FLY_APP_NAME" => "shop"}, [via: :dns, dns_name: "shop.internal", app_name: "shop", on_removed: {:disconnect, 0}]}], file: "config/runtime.exs", lost: 0]
