[cases: [{%{}, [via: :dns, dns_name: "shop.prod.svc.cluster.local", record_type: :srv, host_type: :hostname, app_name: "shop", on_removed: {:disconnect, 0}]}], lost: 0]
