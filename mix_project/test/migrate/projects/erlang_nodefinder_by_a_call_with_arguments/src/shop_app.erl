-module(shop_app).
start() -> nodefinder:multicast_start({0,0,0,0}, {239,1,1,1}, 4000, 2, 300).
