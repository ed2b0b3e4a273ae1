[cases: [{%{}, [via: :list, node_list: [:"a@127.0.0.1", :"b@127.0.0.1"]]}], lost: 0]
