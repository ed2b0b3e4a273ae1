[
  cases: [{%{"STRATEGY" => "epmd"}, [via: :epmd]}, {%{"STRATEGY" => "other"}, []}],
  lost: 0,
  says: ["otherwise the project ends with an error at config/runtime.exs:6"]
]
