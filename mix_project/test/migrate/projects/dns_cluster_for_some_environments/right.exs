[cases: [{%{}, [via: :dns, dns_name: "a.b"]}], lost: 0, says: ["in dev and test nothing is started"]]
