[env: :dev, cases: [{%{}, [via: :epmd]}], file: "config/dev.exs", lost: 0, says: ["This is for dev; in test and prod nothing is started"]]
