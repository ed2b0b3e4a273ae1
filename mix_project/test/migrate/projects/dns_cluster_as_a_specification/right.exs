[cases: [{%{}, [via: :dns, dns_name: "q.internal"]}], lost: 0]
