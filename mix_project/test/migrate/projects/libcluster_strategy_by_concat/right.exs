[cases: [{%{}, [via: :epmd]}], lost: 0]
