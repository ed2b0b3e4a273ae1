[cases: [{%{}, [via: :list, node_list: [:"shop@one.example", :"shop@two.example"]]}], lost: 0]
