[cases: [{%{}, []}], lost: 1, says: ["poll/0", "via: MyApp.Peers"]]
