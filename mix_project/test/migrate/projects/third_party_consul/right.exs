[cases: [{%{}, []}], lost: 1, says: ["record_type: :srv"]]
