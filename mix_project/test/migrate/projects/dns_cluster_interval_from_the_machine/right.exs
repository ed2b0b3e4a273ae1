[
  cases: [
    {%{}, [via: :dns, dns_name: "shop.internal", interval: "2500ms"]},
    {%{"DNS_INTERVAL" => "300"}, [via: :dns, dns_name: "shop.internal", interval: "300ms"]}
  ],
  file: "config/runtime.exs",
  lost: 0
]
