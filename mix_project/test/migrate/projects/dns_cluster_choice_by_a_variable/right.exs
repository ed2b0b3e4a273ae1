[cases: [{%{"CLUSTERED" => "1"}, [via: :dns, dns_name: "a.b"]}, {%{}, []}, {%{"CLUSTERED" => "0"}, []}], lost: 0]
