-module(shop_app).
start() ->
    nodefinder:ec2_start("hush-id", "hush-key", "ec2.eu-west-1.amazonaws.com", [], [{"cluster", "shop"}]).
