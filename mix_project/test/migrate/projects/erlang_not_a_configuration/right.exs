[cases: [{%{}, []}], lost: 0, says: ["neither {Application, Environment}"]]
