[cases: [{%{}, [via: :dns, dns_name: "prod.internal"]}], lost: 0, says: ["in dev and test it is another configuration"]]
