[cases: [{%{}, [clusters: [shop: [via: :list, node_list: [:"a@127.0.0.1", :"b@127.0.0.1"]], dns_cluster: [via: :dns, dns_name: "q.internal"]]]}], lost: 0]
