[cases: [{%{}, []}], lost: 0, says: ["hosts is not set"]]
