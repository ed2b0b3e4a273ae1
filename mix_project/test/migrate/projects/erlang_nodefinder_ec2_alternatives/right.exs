[cases: [{%{}, [via: [ec2: [filters: [{~c"instance.group-name", ~c"www"}]], ec2: [tags: ~c"shop"]]]}], lost: 0]
