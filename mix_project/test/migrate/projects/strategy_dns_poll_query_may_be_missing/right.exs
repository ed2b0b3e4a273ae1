[cases: [{%{"QUERY" => "a.b"}, [via: :dns, dns_name: "a.b", app_name: "shop", on_removed: {:disconnect, 0}]}, {%{}, []}], lost: 0]
