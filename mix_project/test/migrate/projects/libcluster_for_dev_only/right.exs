[cases: [{%{}, []}], lost: 0, says: ["There is a configuration for dev: --env dev reads it"]]
