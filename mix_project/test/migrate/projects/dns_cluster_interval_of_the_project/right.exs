[cases: [{%{}, [via: :dns, dns_name: "a.b", interval: "7000ms"]}], lost: 0, says: ["Shop.Settings.interval is called"]]
