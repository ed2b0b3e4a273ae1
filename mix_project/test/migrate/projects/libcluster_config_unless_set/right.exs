[cases: [{%{"NO_CLUSTER" => "1"}, []}, {%{}, [via: :epmd]}], lost: 0]
