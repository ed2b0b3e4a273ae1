[cases: [{%{}, [via: :list, node_list: [:"shop1@10.0.0.1", :"shop2@10.0.0.2", :"shop3@10.0.0.3"]]}], lost: 0]
