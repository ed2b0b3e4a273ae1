[cases: [{%{}, []}], lost: 1, says: ["two packages have this name", "226.0.0.1:6969"]]
