[cases: [{%{}, [via: :list, node_list: [:"c@127.0.0.1"]]}], file: "config/prod.exs", lost: 0, says: ["in dev and test it is another configuration"]]
