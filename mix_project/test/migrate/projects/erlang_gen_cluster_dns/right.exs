[cases: [{%{}, [via: :dns, dns_name: ~c"a.b", ipv6: false, lookup_timeout: ~c"500ms", interval: ~c"250ms", refresh_interval_ms: 250]}], lost: 0]
