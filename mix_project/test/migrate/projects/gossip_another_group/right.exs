[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster], libcluster_group: "230.1.1.251:45892", ttl: 4]}], lost: 0]
