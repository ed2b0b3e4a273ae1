[cases: [{%{}, [via: :hosts_file]}], lost: 0, says: ["looks once, when it starts"]]
