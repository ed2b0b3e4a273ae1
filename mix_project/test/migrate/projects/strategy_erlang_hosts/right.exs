[cases: [{%{}, [via: :hosts_file, interval: 30]}], lost: 0]
