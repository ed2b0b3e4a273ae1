[cases: [{%{}, [via: :rancher, app_name: "shop", on_removed: {:disconnect, 0}]}], lost: 0]
