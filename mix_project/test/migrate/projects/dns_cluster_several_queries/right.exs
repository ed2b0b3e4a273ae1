[cases: [{%{}, [via: :dns, dns_name: ["a.internal", {"other", "b.internal"}]]}], lost: 0]
