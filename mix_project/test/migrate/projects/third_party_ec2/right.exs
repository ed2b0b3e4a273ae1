[cases: [{%{}, []}], lost: 1, says: ["via: :ec2", "ec2_tagname"]]
