[cases: [{%{}, [via: :dns, dns_name: "a.b", interval: "5000ms"]}], lost: 0]
