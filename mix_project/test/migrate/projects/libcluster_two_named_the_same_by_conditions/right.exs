[cases: [{%{"LAN" => "1"}, [clusters: [shop: [via: :multicast, dialects: [:native, :libcluster]], other: [via: :epmd]]]}, {%{}, [clusters: [shop: [via: :epmd]]]}], lost: 0]
