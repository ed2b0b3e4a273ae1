[
  cases: [
    {%{"RENDEZ_SECRET_EAST" => "e", "RENDEZ_SECRET_WEST" => "w"},
     [
       clusters: [
         east: [via: :multicast, dialects: [:native, :libcluster], libcluster_group: "233.252.1.32:4000", libcluster_secret: "e"],
         west: [via: :multicast, dialects: [:native, :libcluster], libcluster_group: "233.252.1.32:5000", libcluster_secret: "w"]
       ]
     ]}
  ],
  lost: 0
]
