[cases: [{%{"QUERY" => "a.b"}, [via: :dns, dns_name: "a.b"]}, {%{}, []}], lost: 0]
