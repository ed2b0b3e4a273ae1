%% @doc The behaviour of a provider written in Erlang or Elixir.
%%
%% A provider says which nodes there are; it connects to nothing. It runs in a process of its own
%% ({@link rendez_poller}) and is asked every `interval'. It may crash, hang or answer nonsense: that
%% counts as a failed lookup, which removes no node, is told with its cause, and is tried again later.
%%
%% A module with just `poll/0', which returns a list of names, is a provider too.
%%
%% ```
%% -module(my_nodes).
%% -behaviour(rendez_provider).
%% -export([init/1, peers/1]).
%%
%% init(#{path := Path}) -> {ok, Path}.
%% peers(Path) ->
%%     case file:consult(Path) of
%%         {ok, Nodes} -> {ok, Nodes, Path};
%%         {error, Reason} -> {error, Reason, Path}
%%     end.
%% '''
-module(rendez_provider).

-export_type([options/0, peer/0]).

-type options() :: #{atom() | binary() => term()}.
%% What the user wrote beside the module's name.

-type peer() :: node() | binary() | string().
%% A node name, `name@host'. An atom is not needed, and is better not made for a name that came
%% from the network.

-callback init(Options :: options()) -> {ok, State :: term()} | {error, Reason :: term()}.
%% Called once before the first `peers/1', and again after a crash.

-callback peers(State) -> {ok, [peer()], State} | {error, Reason :: term(), State}
              when State :: term().
%% All the nodes that there are: a complete answer. A node that is missing from it is no longer
%% wanted. A lookup that failed is `{error, Reason, State}', never an empty list.
