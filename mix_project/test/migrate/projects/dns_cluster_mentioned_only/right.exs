[cases: [{%{}, []}], lost: 0, says: ["lib/shop/cluster.ex:2 mentions DNSCluster"]]
