[cases: [{%{}, [via: :dns, dns_name: "q.internal", ipv6: true]}], lost: 0]
