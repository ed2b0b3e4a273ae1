[cases: [{%{}, [via: :ec2, tags: [{~c"cluster", ~c"shop"}], region: ~c"eu-west-1"]}], lost: 0]
