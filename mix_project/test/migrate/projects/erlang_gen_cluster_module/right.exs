[cases: [{%{}, [via: :shop_discover]}], lost: 1]
