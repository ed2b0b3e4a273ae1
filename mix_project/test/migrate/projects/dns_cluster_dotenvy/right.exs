[cases: [], file: "config/runtime.exs", lost: 0, says: [~S|if env!("QUERY", :string, nil) not in [nil, :ignore] do|]]
