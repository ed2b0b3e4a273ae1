defmodule Rendez.Migrate.Nodefinder do
  @moduledoc """
  The two packages called nodefinder.

  One announces itself when its application starts, and has the options `addr`, `port`, `multicast_ttl` and `if_name`. The
  other, okeuday's, has the option `node_type` and is started by calls: `nodefinder:multicast_start/0,4,5` and
  `nodefinder:ec2_start/5`.
  """
  import Rendez.Migrate.Found

  @older [:addr, :port, :multicast_ttl, :if_name]

  @doc "Translates the environment of the application; `calls` says whether the sources start okeuday's."
  @spec translate(keyword(), boolean()) :: [Rendez.Migrate.Found.t()]
  def translate(env, calls \\ false) do
    older = Enum.any?(@older, &Keyword.has_key?(env, &1))

    cond do
      # The call says the rest.
      calls and not older -> []
      older -> [older(env)]
      Keyword.has_key?(env, :node_type) -> [multicast(env, "0.0.0.0", "224.0.0.1", 4475, 1)]
      true -> [either()]
    end
  end

  # The older one speaks in an older form.
  defp older(env) do
    new("nodefinder by multicast")
    |> put(:via, :multicast)
    |> put(:dialects, [:native, :nodefinder])
    |> put(:nodefinder_group, socket(address(env[:addr] || {226, 0, 0, 1}), env[:port] || 6969))
    |> put(:interface, text(env[:if_name]))
    |> put(:ttl, if(env[:multicast_ttl] not in [nil, 1, 0], do: env[:multicast_ttl]))
    |> spoken()
    |> note(
      "its nodes announce themselves in an older form, which is read; our announcements are of the newer one, which they do " <>
        "not read. So it is the nodes with rendez that connect to them, each as soon as they announce themselves"
    )
    |> rest(env, @older)
  end

  defp either do
    lost(
      %{new("nodefinder") | options: nil},
      "two packages have this name, and nothing here says which it is. okeuday's, which nodefinder:multicast_start() starts: " <>
        "{via, multicast}, {dialects, [native, nodefinder]}. The older one, which starts by itself: the same with " <>
        "{nodefinder_group, \"226.0.0.1:6969\"}"
    )
  end

  @doc "Translates a call; `env` is the environment of the application."
  @spec call([term()], keyword()) :: [Rendez.Migrate.Found.t()]
  def call([:multicast_start], env), do: [multicast(env, "0.0.0.0", "224.0.0.1", 4475, 1)]

  def call([:multicast_start, address, port, ttl, _timeout], env),
    do: [multicast(env, "0.0.0.0", address(address), port, ttl)]

  def call([:multicast_start, interface, address, port, ttl, _timeout], env),
    do: [multicast(env, address(interface), address(address), port, ttl)]

  def call([:ec2_start, _key, _secret, host, groups, tags], _env), do: [ec2(text(host), groups, tags)]

  def call([function, :unknown], _) do
    what =
      if function == :ec2_start,
        do: "via: ec2 with tags or filters",
        else: "via: multicast with nodefinder_group, interface and ttl"

    [
      %{
        lost(new("nodefinder (okeuday's)"), "#{function}: its arguments are no literals. Write #{what} for them")
        | options: nil
      }
    ]
  end

  def call([function | arguments], _),
    do: [%{lost(new("nodefinder"), "nodefinder:#{function}/#{length(arguments)} is not known") | options: nil}]

  defp multicast(env, interface, address, port, ttl) do
    new("nodefinder (okeuday's) by multicast")
    |> put(:via, :multicast)
    |> put(:dialects, [:native, :nodefinder])
    |> put(:nodefinder_group, if({address, port} != {"224.0.0.1", 4475}, do: socket(address, port)))
    |> put(:nodefinder_hidden, if(env[:node_type] == :hidden, do: true))
    |> put(:interface, if(interface != "0.0.0.0", do: interface))
    |> put(:ttl, if(ttl not in [1, 0], do: ttl))
    |> spoken()
    |> rest(env, [:node_type])
  end

  defp spoken(found),
    do:
      note(
        found,
        "both are spoken while nodes with nodefinder are left. Remove these lines when the last of them is gone"
      )

  # Groups and tags are one list of alternatives there; here one `ec2` is all of what it names.
  defp ec2(host, groups, tags) do
    found = new("nodefinder (okeuday's) by EC2")
    entries = entries(groups, :filters, "instance.group-name") ++ entries(tags, :tags, nil)

    found =
      found
      |> note(
        "the keys are not printed: they come from the environment, a profile or the instance's role, as AWS's tools take them"
      )
      |> note("build the library with it: the environment RENDEZ_NIF_FEATURES=ec2")

    cond do
      :unknown in entries or entries == [] ->
        %{
          lost(
            found,
            "its groups and tags are combined, or computed: name them by {via, ec2}, {tags, [{\"NAME\", \"VALUE\"}]}"
          )
          | options: nil
        }

      match?([_], entries) ->
        [one] = entries

        found
        |> put(:via, :ec2)
        |> then(&Enum.reduce(one ++ region(host), &1, fn {key, value}, found -> put(found, key, value) end))

      true ->
        put(found, :via, for(one <- entries, do: {:ec2, one ++ region(host)}))
    end
  end

  defp entries(list, option, name) when is_list(list) do
    if list != [] and List.ascii_printable?(list), do: [:unknown], else: Enum.map(list, &entry(&1, option, name))
  end

  defp entries(_, _, _), do: [:unknown]

  defp entry({key, value}, :tags, _) do
    case {text(key), text(value)} do
      {key, value} when is_binary(key) and is_binary(value) -> [tags: [{key, value}]]
      _ -> :unknown
    end
  end

  defp entry(one, option, name) do
    case {text(one), option} do
      {text, :filters} when is_binary(text) -> [filters: [{name, text}]]
      {text, :tags} when is_binary(text) -> [tags: text]
      _ -> :unknown
    end
  end

  defp region(host) when is_binary(host) do
    case Regex.run(~r/^(?:https?:\/\/)?ec2\.([a-z0-9-]+)\.amazonaws\.com/, host) do
      [_, region] -> [region: region]
      nil -> []
    end
  end

  defp region(_), do: []
end
