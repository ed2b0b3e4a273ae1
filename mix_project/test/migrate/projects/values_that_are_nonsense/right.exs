[cases: [{%{}, []}], lost: 7]
