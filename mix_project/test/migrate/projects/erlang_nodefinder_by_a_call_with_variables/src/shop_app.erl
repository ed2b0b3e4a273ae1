-module(shop_app).
start(Port) -> nodefinder:multicast_start({0,0,0,0}, {239,1,1,1}, Port, 2, 300).
