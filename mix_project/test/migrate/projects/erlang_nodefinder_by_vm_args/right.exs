[cases: [{%{}, [via: :multicast, dialects: [:native, :nodefinder]]}], lost: 0, says: ["config/vm.args:2"]]
