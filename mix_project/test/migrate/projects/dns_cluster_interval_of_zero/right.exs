[cases: [{%{}, [via: :dns, dns_name: "a.b"]}], lost: 0, says: ["is above zero here"]]
