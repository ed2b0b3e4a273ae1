[cases: [{%{"SECONDS" => "2"}, [via: :dns, dns_name: "a.b", interval: "2000ms"]}], lost: 0]
