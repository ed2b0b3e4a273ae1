[cases: [{%{"RENDEZ_SECRET" => "x"}, [via: :multicast, dialects: [:native, :libcluster], libcluster_secret: "x"]}], file: "config/runtime.exs", lost: 0, says: ["if Shop.Settings.clustered?() do"]]
