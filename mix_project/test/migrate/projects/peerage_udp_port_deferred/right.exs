[cases: [{%{}, [via: :multicast, dialects: [:native, :peerage], peerage_group: "230.1.1.1:45901"]}], lost: 0]
