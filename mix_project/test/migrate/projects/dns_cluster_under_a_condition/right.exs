[cases: [{%{"CLUSTERED" => "true"}, [via: :dns, dns_name: "q.internal"]}, {%{}, []}], file: "config/runtime.exs", lost: 0]
