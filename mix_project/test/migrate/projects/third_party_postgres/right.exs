[cases: [{%{}, []}], lost: 1, says: ["poll/0"]]
