# One of the Elixir nodes of scripts/demo. The first statement is what `config :rendez, ...` does in an application.
Application.put_env(:rendez, :via,
  multicast: [interface: "127.0.0.1", port: String.to_integer(System.fetch_env!("DEMO_PORT"))]
)

{:ok, _} = Application.ensure_all_started(:rendez)
:ok = Rendez.subscribe()

defmodule Demo do
  @started String.to_integer(System.fetch_env!("DEMO_T0"))

  # The same failure again is no news: `told` has the last reason for each node.
  def watch(told \\ %{}) do
    receive do
      {:rendez, _, {:connect_failed, node, %{reason: reason}} = event} ->
        if told[node] != reason, do: event |> line() |> say()
        watch(Map.put(told, node, reason))

      {:rendez, _, {_, node, _} = event} ->
        event |> line() |> say()
        watch(Map.delete(told, node))
    end
  end

  defp line({:discovered, name, %{provider: provider}}), do: "found #{name} (#{provider})"
  defp line({:joined, node, %{after_ms: ms}}), do: "connected to #{node}, #{ms} ms after it was found"
  defp line({:joined, node, _}), do: "connected to #{node}, which called first"
  defp line({:left, node, _}), do: "lost #{node}"
  defp line({:withdrawn, name, _}), do: "#{name} is no longer announced"
  defp line({:connect_failed, node, %{message: message}}), do: "cannot connect to #{node}: #{message}"
  defp line(other), do: inspect(other)

  defp say(text) do
    seconds = (System.system_time(:millisecond) - @started) / 1000
    [me, _] = node() |> to_string() |> String.split("@")
    IO.puts("#{seconds |> :erlang.float_to_binary(decimals: 3) |> String.pad_leading(8)} s  #{String.pad_trailing(me, 8)} #{text}")
  end
end

Demo.watch()
