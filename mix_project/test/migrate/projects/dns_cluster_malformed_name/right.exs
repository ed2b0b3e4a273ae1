[cases: [{%{}, []}], lost: 1, says: ["rendez refuses it", ".internal"]]
