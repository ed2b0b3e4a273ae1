[cases: [{%{}, [via: :dns, dns_name: "a.b", interval: 30]}], lost: 0]
