%% @doc The behaviour of the distribution that carries a cluster.
%%
%% The default, {@link rendez_dist_otp}, is OTP's own. Another one (partisan, say) takes its place
%% with the cluster option `dist', a module or `{Module, Options}'.
%%
%% A cluster begins with `init/1', and begins again with another one when the name of the own node changes.
%% `init/1' and `handle_info/2' run in the cluster's process and have to return at once. `connect/2',
%% `connect/3' and `disconnect/2' run in a process of their own for each attempt and may take their time.
-module(rendez_dist).

-export_type([reason/0, result/0, info/0]).

-type reason() :: refused | cookie | no_epmd | not_registered | unreachable | name_resolution
                | timeout | name_kind | invalid_name | self | left | failed.
%% Why an attempt to connect failed, in one word. See {@link rendez_diagnose}. A failure for `name_kind',
%% `invalid_name', `self' or `left' is not retried until something changes.

-type result() :: ok | {error, {reason(), Message :: binary()}}.

-type info() :: #{port => inet:port_number()}.
%% What is known of a node besides its name. `port': where it listens, as an SRV record says. Keys may
%% be added.

-callback init(Options :: map()) -> {ok, State :: term()} | {error, Reason :: term()}.

-callback members(State :: term()) -> [node() | {hidden, node()}].
%% The nodes that are connected now, without the own one. One that is marked as hidden is a peer only if a
%% provider names it. Asked every `refresh_interval_ms', so that a
%% lost notice does no lasting harm, and has to return at once as well.

-callback connect(node(), State :: term()) -> result().

-callback connect(node(), info(), State :: term()) -> result().
%% Called instead of `connect/2' for a node of which something is known besides its name.

-callback disconnect(node(), State :: term()) -> ok.
%% Ends the connection to a node that no provider names any longer, where `on_removed' says so.

-callback disconnect(node(), #{peers := [node()]}, State :: term()) -> rendez_leave:removal().
%% Called instead of `disconnect/2'. `peers' are the connected nodes that are named. One that did not leave yet
%% is tried again for as long as it is connected and not named.

-callback handle_info(Message :: term(), State :: term()) ->
    {up, node()} | {up, node(), hidden} | {down, node()} | {down, node(), Reason :: term()} | ignore.
%% A message that the cluster's process does not know, such as the notices that `init/1' asked for.

-optional_callbacks([connect/3, disconnect/3, handle_info/2]).
