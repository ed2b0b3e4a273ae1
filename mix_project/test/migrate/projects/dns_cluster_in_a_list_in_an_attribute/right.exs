[cases: [{%{}, [via: :dns, dns_name: "a.b"]}], lost: 0]
