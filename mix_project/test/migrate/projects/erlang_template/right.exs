[cases: [{%{"QUERY" => "a.b"}, [via: :dns, dns_name: ~c"a.b", ipv6: false, interval: ~c"1000ms", refresh_interval_ms: 1000]}], file: "config/sys.config.src", lost: 0]
