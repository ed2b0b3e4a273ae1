[
  cases: [
    {%{}, [clusters: [shop: [via: :list, node_list: [:"a@127.0.0.1", :"b@127.0.0.1"]]]]},
    {%{"QUERY" => "a.b"}, [clusters: [shop: [via: :list, node_list: [:"a@127.0.0.1", :"b@127.0.0.1"]], dns_cluster: [via: :dns, dns_name: "a.b"]]]}
  ],
  lost: 0
]
