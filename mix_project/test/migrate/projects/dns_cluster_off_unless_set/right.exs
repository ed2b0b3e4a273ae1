[cases: [{%{"QUERY" => "a.b"}, [via: :dns, dns_name: "a.b"]}, {%{}, []}], file: "config/runtime.exs", lost: 0]
