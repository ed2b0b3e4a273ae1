[cases: [{%{}, [clusters: [{Shop.Cluster, [via: :dns, dns_name: "q.internal"]}]]}], lost: 0]
