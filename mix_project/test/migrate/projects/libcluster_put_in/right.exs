[cases: [{%{"RENDEZ_SECRET" => "x"}, [via: :multicast, dialects: [:native, :libcluster], libcluster_group: "233.252.1.32:5000", libcluster_secret: "x"]}], lost: 0]
