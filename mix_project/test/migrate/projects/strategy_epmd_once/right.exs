[cases: [{%{}, [via: :list, node_list: [:"a@127.0.0.1"]]}], lost: 0, says: ["refresh_interval_ms: :infinity"]]
