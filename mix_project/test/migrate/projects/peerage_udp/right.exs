[cases: [{%{}, [via: :multicast, dialects: [:native, :peerage]]}], lost: 0]
