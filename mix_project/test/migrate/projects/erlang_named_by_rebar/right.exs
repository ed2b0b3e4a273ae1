[cases: [{%{}, [via: :list, node_list: [:"a@127.0.0.1"]]}], file: "release/prod.config", lost: 0]
