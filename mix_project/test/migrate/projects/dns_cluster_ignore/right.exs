[cases: [{%{}, []}], lost: 0, says: ["its query is :ignore"]]
