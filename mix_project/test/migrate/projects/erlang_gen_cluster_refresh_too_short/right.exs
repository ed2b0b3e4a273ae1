[cases: [{%{}, [via: :list, node_list: [:"a@127.0.0.1"], refresh_interval_ms: 100]}], lost: 0, says: ["at least 100"]]
