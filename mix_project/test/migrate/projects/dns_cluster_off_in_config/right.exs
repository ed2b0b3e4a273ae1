[cases: [{%{}, []}], lost: 0]
