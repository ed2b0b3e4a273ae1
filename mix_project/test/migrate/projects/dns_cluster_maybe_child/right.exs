[cases: [{%{}, [via: :dns, dns_name: "q.internal", interval: 2]}], file: "config/config.exs", lost: 0]
