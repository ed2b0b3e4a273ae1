[cases: [], lost: 0, says: ["WRITE ITS VALUE HERE", "until then rendez does not start"]]
