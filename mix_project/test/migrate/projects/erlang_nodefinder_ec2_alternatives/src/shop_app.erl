-module(shop_app).
start() ->
    nodefinder:ec2_start(os:getenv("ID"), os:getenv("KEY"), "ec2.amazonaws.com", ["www"], ["shop"]).
