# One of the Elixir nodes of scripts/demo. The first statement is what `config :rendez, ...` does in an application.
Application.put_env(:rendez, :via,
  multicast: [interface: "127.0.0.1", port: String.to_integer(System.fetch_env!("DEMO_PORT"))]
)

{:ok, _} = Application.ensure_all_started(:rendez)
:ok = Rendez.subscribe()

defmodule Demo do
  @started String.to_integer(System.fetch_env!("DEMO_T0"))

  # What is known of each node: the reason of the last failure, which is no news the next time, and when it was lost.
  def watch(known \\ %{}) do
    receive do
      {:rendez, _, event} ->
        {kind, node, info} = event
        before = known[node]

        case {kind, before} do
          {:connect_failed, %{reason: reason}} when reason == info.reason -> :no_news
          {:joined, %{lost: since}} -> say("connected to #{node} again, #{now() - since} ms after it was lost")
          _ -> event |> line() |> say()
        end

        watch(Map.put(known, node, remember(kind, info, before || %{})))
    end
  end

  defp remember(:left, _, _), do: %{lost: now()}
  defp remember(:connect_failed, info, before), do: Map.put(before, :reason, info.reason)
  defp remember(:joined, _, _), do: %{}
  defp remember(_, _, before), do: before

  defp now, do: System.monotonic_time(:millisecond)

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
