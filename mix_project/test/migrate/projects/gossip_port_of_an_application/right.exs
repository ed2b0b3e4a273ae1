[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster], libcluster_group: "233.252.1.32:45000"]}], lost: 0]
