[cases: [{%{}, []}], lost: 0, says: ["mix.exs has libcluster"]]
