[cases: [{%{}, []}], lost: 1, says: ["Cloud Map"]]
