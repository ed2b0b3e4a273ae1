[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster], libcluster_broadcast_only: true]}], lost: 0]
