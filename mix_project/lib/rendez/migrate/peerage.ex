defmodule Rendez.Migrate.Peerage do
  @moduledoc "Peerage: `config :peerage`."
  import Rendez.Migrate, only: [address: 1, lost: 2, new: 1, note: 2, put: 3, rest: 3, rest: 4, socket: 2, text: 1]

  @of_all [:via, :serves, :interval, :log_results, :sync_offset]

  @doc "Translates the environment of the application `peerage`."
  @spec translate(keyword()) :: [Rendez.Migrate.found()]
  def translate(env) do
    env = for {key, value} <- env, do: {key, deferred(value)}
    via = Keyword.get(env, :via, Peerage.Via.Self)

    ["Peerage by #{inspect(via)}"]
    |> Enum.map(&new/1)
    |> Enum.map(&via(&1, via, env))
    |> Enum.map(&common(&1, env))
  end

  defp via(found, Peerage.Via.Self, env), do: found |> put(:via, :self) |> rest(env, @of_all)

  defp via(found, Peerage.Via.List, env),
    do: found |> put(:via, :list) |> put(:node_list, env[:node_list] || []) |> rest(env, [:node_list | @of_all])

  defp via(found, Peerage.Via.Dns, env) do
    found
    |> put(:via, :dns)
    |> put(:dns_name, text(Keyword.get(env, :dns_name, "localhost")))
    |> put(:app_name, text(Keyword.get(env, :app_name, "nonode")))
    # It asks for A records alone.
    |> put(:ipv6, false)
    |> put(:interval, Keyword.get(env, :interval, 10))
    |> rest(env, [:dns_name, :app_name | @of_all])
  end

  defp via(found, Peerage.Via.Udp, env) do
    found
    |> put(:via, :multicast)
    |> put(:dialects, [:native, :peerage])
    |> put(:peerage_group, group(env))
    |> put(:interface, interface(env[:ip]))
    |> put(:ttl, if(env[:ttl] not in [nil, 1], do: env[:ttl]))
    |> note(
      "while nodes with Peerage are left, both are spoken: its dialect has no authentication. Remove the line dialects " <>
        "when the last of them is gone"
    )
    |> rest(env, [:ip, :port, :multicast_addr, :ttl | @of_all])
  end

  defp via(found, module, env) do
    found
    |> put(:via, module)
    |> put(:serves, if(env[:serves] == true, do: true))
    |> put(:interval, env[:interval])
    |> note("#{inspect(module)} works as it is: what it reads of the environment of peerage is still read from there")
    |> rest(env, @of_all, "it stays in the environment of peerage if #{inspect(module)} reads it there")
  end

  defp group(env) do
    case {Keyword.get(env, :multicast_addr, {230, 1, 1, 1}), Keyword.get(env, :port, 45_900)} do
      {{230, 1, 1, 1}, 45_900} -> nil
      {group, port} -> socket(address(group), port)
    end
  end

  defp interface(ip) when ip in [nil, {0, 0, 0, 0}], do: nil
  defp interface(ip), do: address(ip)

  defp common(found, env) do
    found =
      if env[:log_results] != nil,
        do:
          lost(
            found,
            "log_results - what happens goes to the log and to Rendez.subscribe/1; set the level of the logger"
          ),
        else: found

    if env[:sync_offset] != nil,
      do: lost(found, "sync_offset - the first look is made at once, and nobody has to wait for it"),
      else: found
  end

  # deferred_config: what is read from the machine when the application starts.
  defp deferred({:system, name}), do: {:code, "System.fetch_env!(#{inspect(name)})"}
  defp deferred({:system, name, default}), do: {:code, "System.get_env(#{inspect(name)}, #{inspect(default)})"}

  defp deferred({:system, name, default, {module, function}}) do
    read = "System.get_env(#{inspect(name)}, #{inspect(to_string(default))})"
    {:code, "#{inspect(module)}.#{function}(#{read})"}
  end

  defp deferred(value), do: value
end
