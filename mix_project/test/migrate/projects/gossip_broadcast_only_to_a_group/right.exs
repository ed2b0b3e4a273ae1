[cases: [{%{}, [via: :multicast, dialects: [:native, :libcluster], libcluster_broadcast_only: true]}], lost: 0, says: ["do not hear each other"]]
