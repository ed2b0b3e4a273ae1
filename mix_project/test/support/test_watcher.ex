defmodule Rendez.TestWatcher do
  @moduledoc "Runs clusters on a test node below a supervisor, as an application does, and keeps what they tell."

  def start(clusters) do
    caller = self()
    {watcher, monitor} = spawn_monitor(fn -> init(clusters, caller) end)

    receive do
      {^watcher, :ok} -> :ok
      {:DOWN, ^monitor, _, _, reason} -> {:error, Exception.format_exit(reason)}
    end
  end

  def events do
    send(__MODULE__, {:events, self()})

    receive do
      {__MODULE__, events} -> events
    end
  end

  defp init(clusters, caller) do
    Process.register(self(), __MODULE__)
    {:ok, _} = Supervisor.start_link(Enum.map(clusters, &{Rendez, &1}), strategy: :one_for_one)
    for cluster <- clusters, do: :ok = Rendez.subscribe(cluster[:name] || :rendez)
    send(caller, {self(), :ok})
    loop([])
  end

  defp loop(events) do
    receive do
      {:rendez, cluster, event} ->
        loop([{cluster, event} | events])

      {:events, from} ->
        send(from, {__MODULE__, Enum.reverse(events)})
        loop(events)
    end
  end
end
