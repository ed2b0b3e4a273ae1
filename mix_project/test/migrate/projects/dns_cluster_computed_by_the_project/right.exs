[cases: [{%{}, [via: :dns, dns_name: "computed.internal"]}], file: "config/runtime.exs", lost: 0, says: ["Shop.Settings.query is called while the configuration is read"]]
