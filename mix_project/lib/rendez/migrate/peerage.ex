defmodule Rendez.Migrate.Peerage do
  @moduledoc "Peerage: `config :peerage`."
  import Rendez.Migrate.Found
  alias Rendez.Migrate.{Redact, Value}
  alias Rendez.Migrate.Value.Code

  @of_all [:via, :serves, :interval, :log_results, :sync_offset]

  @doc "Translates the environment of the application `peerage`."
  @spec translate(keyword()) :: [Rendez.Migrate.Found.t()]
  def translate(env) do
    env = for {key, value} <- env, do: {key, deferred(value)}

    for {guards, via} <- Value.alternatives(Keyword.get(env, :via, Peerage.Via.Self)) do
      found = if is_atom(via), do: via(new("Peerage by #{inspect(via)}"), via, env), else: computed(via)
      found |> common(env) |> guard(guards)
    end
  end

  defp computed(via) do
    place = if place = Value.place(via), do: " at #{place}", else: ""
    %{lost(new("Peerage"), "via: it is computed#{place}. Write config :rendez for each that it can be") | options: nil}
  end

  defp via(found, Peerage.Via.Self, env), do: found |> put(:via, :self) |> rest(env, @of_all)

  defp via(found, Peerage.Via.List, env),
    do: found |> put(:via, :list) |> put(:node_list, env[:node_list] || []) |> rest(env, [:node_list | @of_all])

  defp via(found, Peerage.Via.Dns, env) do
    found
    |> put(:via, :dns)
    |> needed(:dns_name, Keyword.get(env, :dns_name, "localhost"), &text/1, "dns_name")
    |> put(:app_name, text(Keyword.get(env, :app_name, "nonode")))
    # It asks for A records alone.
    |> put(:ipv6, false)
    |> put(:interval, interval(Keyword.get(env, :interval, 10)))
    |> rest(env, [:dns_name, :app_name | @of_all])
  end

  defp via(found, Peerage.Via.Udp, env) do
    found
    |> put(:via, :multicast)
    |> put(:dialects, [:native, :peerage])
    |> put(:peerage_group, group(env))
    |> put(:interface, interface(env[:ip]))
    |> put(:ttl, if(env[:ttl] not in [nil, 1, 0], do: env[:ttl]))
    |> note(
      "both are spoken while nodes with Peerage are left; its dialect has no authentication. Remove the line dialects when the " <>
        "last of them is gone"
    )
    |> rest(env, [:ip, :port, :multicast_addr, :ttl | @of_all])
  end

  defp via(found, module, env) do
    found
    |> put(:via, module)
    |> put(:serves, if(env[:serves] == true, do: true))
    |> put(:interval, interval(env[:interval]))
    |> note("#{inspect(module)} works as it is: what it reads of the environment of peerage is still read from there")
    |> rest(env, @of_all, "it stays in the environment of peerage if #{inspect(module)} reads it there")
  end

  # Seconds in both.
  defp interval(seconds) when is_number(seconds) and seconds > 0, do: seconds
  defp interval(%_{} = code), do: code
  defp interval(_), do: nil

  defp group(env) do
    case {address(Keyword.get(env, :multicast_addr, {230, 1, 1, 1})), Keyword.get(env, :port, 45_900)} do
      {"230.1.1.1", 45_900} -> nil
      {group, port} -> socket(group, port)
    end
  end

  defp interface(ip) when ip in [nil, {0, 0, 0, 0}, "0.0.0.0"], do: nil
  defp interface(ip), do: address(ip)

  defp common(found, env) do
    found
    |> named(env, :log_results, "what happens goes to the log and to Rendez.subscribe/1; set the level of the logger")
    |> named(env, :sync_offset, "the first look is made at once, and nobody has to wait for it")
  end

  defp named(found, env, key, why), do: if(env[key] != nil, do: lost(found, "#{key} - #{why}"), else: found)

  # deferred_config: what is read from the machine when the application starts.
  defp deferred({:system, name}) when is_binary(name), do: read(:fetch_env!, [name])

  defp deferred({:system, name, default}) when is_binary(name),
    do:
      if(Value.known?(default) and is_binary(default) and not Redact.secret_name?(name),
        do: read(:get_env, [name, default]),
        else: read(:fetch_env!, [name])
      )

  defp deferred({:system, name, default, {module, function}})
       when is_binary(name) and is_atom(module) and is_atom(function) do
    %Code{ast: read} = read(:get_env, [name, to_string(default)])
    %Code{ast: {{:., [], [Rendez.Migrate.Eval.module_ast(module), function]}, [], [read]}}
  end

  defp deferred(value), do: value

  defp read(function, arguments), do: %Code{ast: {{:., [], [{:__aliases__, [], [:System]}, function]}, [], arguments}}
end
