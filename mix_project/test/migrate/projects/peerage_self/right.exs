[cases: [{%{}, [via: :self]}], lost: 0]
