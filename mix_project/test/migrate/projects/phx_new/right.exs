[
  cases: [
    {%{"DNS_CLUSTER_QUERY" => "shop.internal"}, [via: :dns, dns_name: "shop.internal"]},
    {%{}, []}
  ],
  file: "config/runtime.exs",
  lost: 0,
  says: [
    ~S|if query = System.get_env("DNS_CLUSTER_QUERY"), do: config :rendez, via: :dns, dns_name: query|,
    "in dev and test nothing is started",
    "remove {DNSCluster, ...} at lib/shop/application.ex:9"
  ]
]
