[cases: [{%{}, [via: Rendez.TestProviders.Poll, interval: 3]}], lost: 1]
