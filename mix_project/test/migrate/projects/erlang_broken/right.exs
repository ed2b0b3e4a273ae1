[cases: [{%{}, []}], lost: 0, says: ["config/sys.config: a syntax error on line 1"]]
