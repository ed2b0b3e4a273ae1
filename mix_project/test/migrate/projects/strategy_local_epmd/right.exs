[cases: [{%{}, [via: :epmd]}], lost: 0, says: ["libcluster asks EPMD once"]]
