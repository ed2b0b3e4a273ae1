[cases: [{%{}, [via: :kubernetes, selector: "app=shop", namespace: "prod", app_name: "shop", lookup: :pods, ready_only: false, on_removed: {:disconnect, 0}]}], lost: 1]
