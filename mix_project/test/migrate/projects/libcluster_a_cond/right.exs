[
  cases: [{%{"A" => "1"}, [via: :epmd]}, {%{"B" => "1"}, [via: :hosts_file]}, {%{}, []}],
  lost: 0
]
