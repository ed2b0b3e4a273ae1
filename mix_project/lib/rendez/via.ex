defmodule Rendez.Via do
  @moduledoc """
  A module for each built-in provider, for those who like to name it by one, as with Peerage:

      config :rendez, via: Rendez.Via.Dns, dns_name: "myapp.internal"
      config :rendez, via: [{Rendez.Via.Dns, dns_name: "myapp.internal"}, Rendez.Via.Multicast]

  says the same as `via: :dns` and `via: [dns: [...], multicast: []]`. The provider itself is native; `poll/0` of each module
  looks once with the options that are configured, so that you can try in a shell what would be found.
  """

  # One line a provider. A test holds the list to `Rendez.providers/0`.
  @providers [
    {Self, :self, "No one else: the node stays alone."},
    {List, :list, "The names given in the configuration, `:node_list`."},
    {Dns, :dns, "What is behind DNS names, such as a headless service's: `:dns_name`."},
    {Multicast, :multicast, "Authenticated announcements to a multicast group."},
    {Udp, :multicast, "`Rendez.Via.Multicast` by the name that Peerage has for it."},
    {Epmd, :epmd, "The nodes that are registered with EPMD on some `:hosts`."},
    {HostsFile, :hosts_file, "The nodes on the hosts that a file like OTP's `.hosts.erlang` names."},
    {File, :file, "The names in a file, which is watched: `:path`."},
    {Subnet, :subnet, "The nodes that EPMD knows on the hosts of a subnet: `:cidr`."},
    {Command, :command, "The names that a program prints: `:command`."},
    {Http, :http, "The names that an HTTP server answers with: `:url`."},
    {Kubernetes, :kubernetes, "The pods or endpoints that the Kubernetes API names: `:selector`."},
    {Ec2, :ec2, "The instances that EC2 names: `:tags`, `:filters`."},
    {Rancher, :rancher, "The containers that Rancher's metadata names."}
  ]

  @doc "The modules, each with the word that stands for the same."
  @spec modules() :: [{module(), atom()}]
  def modules, do: for({last, word, _} <- @providers, do: {Module.concat(__MODULE__, last), word})

  @doc """
  Looks once through a provider, with its options or, without any, with those of `config :rendez`.

  ## Errors

  Raises `ArgumentError` with the cause and the remedy where nothing could be learnt.
  """
  @spec look(atom(), keyword()) :: [String.t()]
  def look(word, options) do
    case Rendez.resolve([{:via, {word, options}}]) do
      {:ok, names} -> names
      {:error, message} -> raise ArgumentError, message
    end
  end

  # The options of `word` in the configuration, in whatever form they stand there.
  @doc false
  @spec configured(atom(), keyword()) :: keyword()
  def configured(word, env) do
    {via, flat} = Keyword.pop(env, :via, [])

    case Enum.map(if(is_list(via) or is_map(via), do: Enum.to_list(via), else: [via]), &entry/1) do
      [{_, nil}] ->
        Keyword.drop(flat, [:name, :dist, :clusters, :included_applications | :rendez_nif.cluster_options()])

      entries ->
        Enum.find_value(entries, [], fn {kind, options} -> is_same(kind, word) && Enum.to_list(options || []) end)
    end
  end

  defp entry({kind, options}), do: {kind, options}
  defp entry(kind), do: {kind, nil}

  defp is_same(kind, word), do: kind == word or {kind, word} in modules()

  for {last, word, doc} <- @providers do
    defmodule Module.concat(__MODULE__, last) do
      @moduledoc """
      #{doc}

          config :rendez, via: #{inspect(__MODULE__)}

      is `via: #{inspect(word)}`. `docs/options.md` lists its options.
      """
      @behaviour Rendez.Provider
      @word word

      @doc "The names that are found now, with the options of `config :rendez`. Raises where looking fails."
      @impl true
      def poll, do: Rendez.Via.look(@word, Rendez.Via.configured(@word, Application.get_all_env(:rendez)))
    end
  end
end
