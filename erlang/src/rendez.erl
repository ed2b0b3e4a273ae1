%% @doc Finds the nodes of a BEAM cluster and joins them.
%%
%% A cluster is started by the application's environment ({@link rendez_app}), by
%% {@link start_cluster/1}, or below a supervisor of the user's own with {@link child_spec/1}:
%%
%% ```
%% rendez:start_link([{via, {dns, #{dns_name => "myapp.internal"}}}]).
%% '''
%%
%% A cluster is known by its name, `rendez' unless the option `name' says otherwise.
-module(rendez).

-export([start_link/1, start_cluster/1, stop_cluster/1, child_spec/1]).
-export([status/1, peers/1, subscribe/1, unsubscribe/1, refresh/1, leave/0, leave/1, resolve/1, providers/0]).

-export_type([name/0, cluster/0, options/0, event/0, status/0]).

-type name() :: atom().

-type cluster() :: name() | pid().

-type options() :: [{atom() | binary(), term()} | atom()] | #{atom() | binary() => term()}.
%% `via' says where peers are found: a provider, `{Provider, Options}', or a list of them, where a
%% provider is one of {@link rendez_nif:providers/0} or a module ({@link rendez_provider}). The
%% options of a single provider may also stand beside `via'. `name' is the cluster's name and `dist'
%% the module that connects ({@link rendez_dist}). A number that is a span of time is seconds.

-type event() :: {joined, node(), #{after_ms => non_neg_integer()}}
               | {left, node(), #{reason => binary()}}
               | {connect_failed, node(), #{reason := rendez_dist:reason(),
                                            message := binary(),
                                            attempts := pos_integer(),
                                            retry_in_ms => non_neg_integer()}}
               | {discovered, Name :: binary(), #{provider := binary()}}
               | {withdrawn, Name :: binary(), #{provider := binary()}}
               | {refused, Name :: binary(), #{provider := binary(),
                                               reason := not_accepted | cluster_full | too_many_new,
                                               message := binary()}}
               | {provider_failed, Provider :: binary(), #{message := binary()}}
               | {provider_recovered, Provider :: binary(), #{}}
               | {provider_warning, Provider :: binary(), #{message := binary()}}.
%% What subscribers get, as `{rendez, Name, Event}'.
%%
%% A name that no one has connected to is a binary, since no atom exists for it. `after_ms' is the
%% time from the first mention by a provider to the connection, or from the loss of the connection before; it is
%% absent where no provider named the node. `retry_in_ms' is absent where there will be no further attempt.

-type status() :: #{atom() => term()}.
%% `left' says whether this node has left ({@link leave/1}, or because it was removed). `removed' lists the nodes that
%% no provider names any longer and that have left, `removing' those that are still connected, with the reason. A
%% named node that said goodbye is `idle', with the reason `left'.
%%
%% `providers' is a list of maps, one a provider: `name', `kind', `nodes' (how many it names), `failures' (in
%% a row), `restarts', `age_ms' (since it last said something), `message' (its last failure) and `warning'
%% (what it says of its safety), each absent where there is none, and `counters', a map of what it counts since
%% it was last started. For `multicast'
%% those say what became of every datagram: `sent', `send_errors', `heard', `own', `duplicate', `replayed',
%% `clock', `forged', `other_cluster', `version', `foreign', `truncated', `oversized', `malformed', `full' and
%% `twin'. Each further one of its `dialects' is a provider of its own there, with `not_accepted', `rate_limited'
%% and `hidden' too. The keys are a fixed set of atoms; nothing from the network becomes one.

%% @doc Starts a cluster that is linked to the caller.
%%
%% `{error, {invalid_options, Message}}' tells in `Message', which is for people, which option is
%% wrong, what it takes, and the nearest right spelling.
%%
%% `ignore' where `via', or what its providers need, is `ignore', `nil' or `undefined': then no cluster is started.
-spec start_link(options()) -> {ok, pid()} | ignore | {error, term()}.
start_link(Options) ->
    rendez_cluster:start_link(Options).

%% @doc Starts a cluster below the application's own supervisor, which starts it again after a crash.
-spec start_cluster(options()) -> {ok, pid()} | ignore | {error, term()}.
start_cluster(Options) ->
    case rendez_config:name(Options) of
        {ok, _} -> rendez_sup:start_cluster(Options);
        {error, Message} -> {error, {invalid_options, Message}}
    end.

%% @doc Stops a cluster that {@link start_cluster/1} or the environment started. Its providers say
%% goodbye; connections stay.
-spec stop_cluster(name()) -> ok | {error, not_found}.
stop_cluster(Name) ->
    rendez_sup:stop_cluster(Name).

%% @doc For the user's own supervisor.
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    %% Options that are wrong get their message from start_link/1.
    Id = case rendez_config:name(Options) of
        {ok, Name} -> Name;
        {error, _} -> rendez
    end,
    #{id => {?MODULE, Id},
      start => {?MODULE, start_link, [rendez_secret:seal(Options)]},
      type => worker,
      shutdown => 5000,
      modules => [rendez_cluster]}.

%% @doc What the cluster knows, does and failed at.
-spec status(cluster()) -> status().
status(Cluster) ->
    gen_server:call(Cluster, status).

%% @doc The connected nodes that the cluster's providers name.
-spec peers(cluster()) -> [node()].
peers(Cluster) ->
    gen_server:call(Cluster, peers).

%% @doc The caller gets `{rendez, Name, Event}' for each {@link event()} from now on. Twice is once.
-spec subscribe(cluster()) -> ok.
subscribe(Cluster) ->
    gen_server:call(Cluster, {subscribe, self()}).

%% @doc No more events for the caller.
-spec unsubscribe(cluster()) -> ok.
unsubscribe(Cluster) ->
    gen_server:call(Cluster, {unsubscribe, self()}).

%% @doc Every provider looks now, and nodes that wait for another attempt get it now. A node that has left
%% begins again.
-spec refresh(cluster()) -> ok.
refresh(Cluster) ->
    gen_server:call(Cluster, refresh).

%% @doc As {@link leave/1}, for the cluster `rendez'.
-spec leave() -> ok.
leave() -> leave(rendez).

%% @doc Says goodbye to all nodes and ends the connections to them. Connections between other nodes stay.
%%
%% The providers say goodbye, and so does this node to each connected one, so that Rendez there does not connect
%% to it again until a provider names it anew. This node connects to no node until another node connects to it or
%% {@link refresh/1} is called. May take some seconds. `status' says `left => true' meanwhile.
%%
%% All connections end, those of other clusters of this node among them: OTP knows no other way that is safe.
-spec leave(cluster()) -> ok.
leave(Cluster) ->
    gen_server:call(Cluster, leave, infinity).

%% @doc Looks once, connects to nothing, and needs no running cluster.
%%
%% Takes up to `timeout' (a span of time, 5 seconds unless given), and with `multicast' all of it. No atom is made of an answer.
-spec resolve(options()) -> {ok, [binary()]} | {error, Message :: binary()}.
resolve(Options) ->
    rendez_cluster:resolve(Options).

%% @doc The built-in providers: the words that `via' takes beside modules.
-spec providers() -> [atom()].
providers() ->
    rendez_nif:providers().
