[cases: [{%{}, [via: :dns, dns_name: "q.internal", record_type: [:ip, :srv], ipv6: false]}], lost: 0]
