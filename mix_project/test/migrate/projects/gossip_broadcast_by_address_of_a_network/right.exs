[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster], libcluster_group: "127.255.255.255:45000", libcluster_broadcast_only: true]}], lost: 0]
