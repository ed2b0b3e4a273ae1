[
  cases: [
    {%{"STRATEGY" => "epmd"}, [via: :epmd]},
    {%{"STRATEGY" => "gossip", "SECRET" => "x"}, [via: :multicast, dialects: [:native, :libcluster], libcluster_secret: "x"]},
    {%{"STRATEGY" => "none"}, []},
    {%{}, []}
  ],
  lost: 0
]
