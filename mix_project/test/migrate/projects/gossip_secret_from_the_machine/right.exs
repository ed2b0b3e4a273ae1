[cases: [{%{"GOSSIP_SECRET" => "x"}, [via: :multicast, dialects: [:native, :libcluster], libcluster_secret: "x"]}], lost: 0]
