[cases: [{%{}, []}], lost: 1, says: ["may hold a secret"]]
