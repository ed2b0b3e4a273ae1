[cases: [{%{"CLUSTER_NODES" => "a@h,b@h"}, [via: :list, node_list: [:a@h, :b@h]]}], file: "config/runtime.exs", lost: 0, says: ["refresh_interval_ms: :infinity"]]
