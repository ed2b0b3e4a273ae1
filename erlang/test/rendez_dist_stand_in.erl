%% @doc A `rendez_dist' over a peer service in partisan's manner: it is told where a node listens, joins and
%% leaves by calls, and sends no notices. A model for one over the real partisan.
-module(rendez_dist_stand_in).
-behaviour(rendez_dist).

-export([init/1, members/1, connect/2, connect/3, disconnect/2]).

%% Where a node listens for the peer service, where no provider knows it.
-define(PORT, 10200).

init(#{service := Service}) -> {ok, Service};
init(_) -> {error, "the option service is missing"}.

members(Service) ->
    {ok, Members} = rendez_partisan_stand_in:members(Service),
    Members -- [node()].

connect(Node, Service) -> connect(Node, #{port => ?PORT}, Service).

connect(Node, #{port := Port}, Service) ->
    [_, Host] = string:split(atom_to_list(Node), "@"),
    {ok, Ip} = inet:getaddr(Host, inet),
    case rendez_partisan_stand_in:join(Service, #{name => Node, listen_addrs => [#{ip => Ip, port => Port}]}) of
        ok -> ok;
        {error, Reason} ->
            {error, {failed, unicode:characters_to_binary(io_lib:format("the peer service: ~0tp", [Reason]))}}
    end.

disconnect(Node, Service) ->
    ok = rendez_partisan_stand_in:leave(Service, Node).
