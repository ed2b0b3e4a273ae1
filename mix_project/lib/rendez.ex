defmodule Rendez do
  @moduledoc """
  Finds the nodes of a BEAM cluster and joins them.

  With the dependency in `mix.exs`, a line of configuration is all there is to do:

      config :rendez, via: :dns, dns_name: "myapp.internal", app_name: "myapp"

  The nodes that DNS names are connected to, here and on every other node that runs the same, and stay connected.
  Without configuration nothing is started.

  ## Where nodes are found

  `via` is a provider, a provider with options, or several of them:

      config :rendez, via: :multicast
      config :rendez, via: {:multicast, port: 45_900}
      config :rendez, via: [dns: [dns_name: "myapp.internal"], multicast: [port: 45_900]]

  The options of a single provider may stand beside `via`, as in the first example. A provider is

    * a word, for what is built in: `providers/0` lists them;
    * a module with `poll/0`, see `Rendez.Provider`;
    * an Erlang module of the behaviour `:rendez_provider`.

  A number that is a span of time is seconds; text may carry a unit: `"250ms"`, `"5s"`, `"2m"`. An option that does not
  exist or has a value that it does not take is refused at start, with its name, what it takes and the nearest right
  spelling.

  ## Below your own supervisor

  A cluster can be a child of any supervisor, and there may be several, each with a name:

      children = [
        {Rendez, name: MyApp.Cluster, via: :multicast},
        {Rendez, name: MyApp.Workers, via: :dns, dns_name: "workers.internal", app_name: "worker"}
      ]

  The configuration names several as `config :rendez, clusters: [{MyApp.Cluster, via: :multicast}, ...]`.

  ## What happens

  `subscribe/1` gives you a message for everything that happens to the cluster, `status/1` tells how it stands. The same
  events go to `:telemetry` where it is loaded: `[:rendez, :node, kind]`, where `kind` is `:joined`, `:left`,
  `:connect_failed`, `:discovered`, `:withdrawn` or `:refused`, and `[:rendez, :provider, :failed]`,
  `[:rendez, :provider, :recovered]` and `[:rendez, :provider, :warning]`. Measurements are `count` (1) and, where they are known, `after_ms`, `attempts` and
  `retry_in_ms`; the metadata holds `cluster` and `node` or `provider`.
  """

  @default :rendez

  @typedoc "The name of a cluster, `:rendez` unless its option `:name` says otherwise, or its process."
  @type cluster :: atom() | pid()

  @typedoc """
  The options of a cluster.

    * `:name` - an atom, `:rendez` unless given;
    * `:via` - where nodes are found;
    * `:dist` - a module of the Erlang behaviour `:rendez_dist` that connects instead of OTP's distribution;

  and those of the cluster's policy and of its providers, which the README lists.
  """
  @type options :: keyword() | map()

  @typedoc """
  What subscribers get, as `{:rendez, cluster_name, event}`.

  A name that nobody connected to is a string, since no atom is made for it. `after_ms` is the time in milliseconds from
  the first mention of the node, or from the loss of its connection, to the connection; absent where no provider named it. `retry_in_ms` is absent where there
  is no further attempt. `message` is a sentence for people with the cause and the remedy; `reason` is the same in a word,
  for programs.
  """
  @type event ::
          {:joined, node(), %{optional(:after_ms) => non_neg_integer()}}
          | {:left, node(), %{optional(:reason) => String.t()}}
          | {:connect_failed, node(),
             %{
               required(:reason) => atom(),
               required(:message) => String.t(),
               required(:attempts) => pos_integer(),
               optional(:retry_in_ms) => non_neg_integer()
             }}
          | {:discovered, String.t(), %{provider: String.t()}}
          | {:withdrawn, String.t(), %{provider: String.t()}}
          | {:refused, String.t(), %{provider: String.t(), reason: atom(), message: String.t()}}
          | {:provider_failed, provider :: String.t(), %{message: String.t()}}
          | {:provider_recovered, provider :: String.t(), %{}}
          | {:provider_warning, provider :: String.t(), %{message: String.t()}}

  @doc """
  The child specification of a cluster, so that `{Rendez, options}` is a child of a supervisor.

      iex> Rendez.child_spec(name: MyApp.Cluster, via: :multicast).id
      {Rendez, MyApp.Cluster}

  The ids of differently named clusters differ, so one supervisor can hold several.
  """
  @spec child_spec(options()) :: Supervisor.child_spec()
  def child_spec(options) do
    # The Erlang application's specification with its start function replaced by ours, for readable errors. Its arguments
    # stay: secrets are sealed in them, since supervisors write them into reports.
    spec = :rendez.child_spec(options)
    {:rendez, name} = spec.id
    {:rendez, :start_link, arguments} = spec.start
    %{spec | id: {__MODULE__, name}, start: {__MODULE__, :start_link, arguments}}
  end

  @doc """
  Starts a cluster linked to the caller.

  Raises `ArgumentError` where an option is wrong: it has to be put right, and no restart would do that. Returns `:ignore`
  where `via`, or an option that its only provider needs, is `:ignore` or `nil`: then no cluster is started, and a supervisor
  goes on without it.

      iex> Rendez.start_link(via: [multicast: [prot: 45_900]])
      ** (ArgumentError) via.multicast.prot: there is no such option; did you mean port?
  """
  @spec start_link(options()) :: {:ok, pid()} | :ignore | {:error, term()}
  def start_link(options) do
    case :rendez.start_link(options) do
      {:error, {:invalid_options, message}} -> raise ArgumentError, message
      other -> other
    end
  end

  @doc """
  How the cluster stands: its nodes, its providers and what failed.

  Each of the `:providers` is a map with `:name`, `:kind`, `:nodes` (how many it names), `:failures` (in a row),
  `:restarts`, `:age_ms` (since it last said something) and `:message` (its last failure), both absent where there is none,
  and `:counters`, a map of what it counts since it was last started. Those of `multicast` say what became of every
  datagram, by cause: `:forged`, `:replayed`, `:truncated` and so on; `t::rendez.status/0` lists them.

      %{providers: [%{counters: %{forged: forged}}]} = Rendez.status()
  """
  @spec status(cluster()) :: map()
  def status(cluster \\ @default), do: :rendez.status(cluster)

  @doc "The connected nodes that the cluster's providers name, as atoms. What else is connected is in `Node.list/0`."
  @spec peers(cluster()) :: [node()]
  def peers(cluster \\ @default), do: :rendez.peers(cluster)

  @doc """
  From now on the calling process gets `{:rendez, cluster_name, event}` for each `t:event/0`.

  Subscribing twice is subscribing once; the subscription ends with the process or with `unsubscribe/1`.

      :ok = Rendez.subscribe(MyApp.Cluster)

      receive do
        {:rendez, MyApp.Cluster, {:joined, node, _}} -> IO.puts("hello, \#{node}")
        {:rendez, MyApp.Cluster, {:connect_failed, node, %{message: why}}} -> IO.puts("no \#{node}: \#{why}")
      end
  """
  @spec subscribe(cluster()) :: :ok
  def subscribe(cluster \\ @default), do: :rendez.subscribe(cluster)

  @doc "Ends what `subscribe/1` began."
  @spec unsubscribe(cluster()) :: :ok
  def unsubscribe(cluster \\ @default), do: :rendez.unsubscribe(cluster)

  @doc "Every provider looks now, and nodes that wait for another attempt get it now."
  @spec refresh(cluster()) :: :ok
  def refresh(cluster \\ @default), do: :rendez.refresh(cluster)

  @doc """
  Says goodbye to all nodes and ends the connections to them. Connections between other nodes stay.

  The providers say goodbye, and so does this node to each connected one, so that Rendez there does not connect to it again
  until a provider names it anew. This node connects to no node until another node connects to it or `refresh/1` is called;
  the status says `left: true` meanwhile. May take some seconds.

  All connections end, those of other clusters of this node among them: OTP knows no other way that is safe.
  """
  @spec leave(cluster()) :: :ok
  def leave(cluster \\ @default), do: :rendez.leave(cluster)

  @doc """
  Looks once and connects to nothing. No cluster has to run, and no atom is made of an answer.

  Takes the options of a cluster and `:timeout`, a span of time, 5 seconds unless given; with `:multicast` a look takes
  all of it.

      iex> Rendez.resolve(via: :list, node_list: [:"myapp@10.0.0.1"])
      {:ok, ["myapp@10.0.0.1"]}
  """
  @spec resolve(options()) :: {:ok, [String.t()]} | {:error, String.t()}
  def resolve(options), do: :rendez.resolve(options)

  @doc """
  The built-in providers: the words that `via` takes.

      iex> :dns in Rendez.providers()
      true
  """
  @spec providers() :: [atom()]
  def providers, do: :rendez.providers()
end
