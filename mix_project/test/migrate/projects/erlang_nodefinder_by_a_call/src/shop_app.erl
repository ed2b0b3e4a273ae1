-module(shop_app).
-export([start/2]).

start(_Type, _Args) ->
    {ok, _} = nodefinder:multicast_start(),
    shop_sup:start_link().
