defmodule Rendez.TestNode do
  @moduledoc """
  Real nodes for the tests: each a BEAM of its own, spoken to over its standard input and output, so that neither the test
  nor anything else adds a connection to the cluster under test. A node ends with the test that started it.
  """

  import ExUnit.Callbacks, only: [on_exit: 1]

  @cookie "rendez_test_#{System.pid()}"

  @doc "Starts an EPMD on a free port of 127.0.0.1 and makes it the one of all nodes that start later."
  def start_epmd! do
    port = free_tcp_port()
    System.put_env("ERL_EPMD_PORT", to_string(port))
    System.put_env("ERL_EPMD_ADDRESS", "127.0.0.1")
    epmd = System.find_executable("epmd") || raise "epmd is not in PATH; it comes with Erlang"
    epmd = Port.open({:spawn_executable, epmd}, [:binary, args: ["-port", to_string(port)]])
    wait_for(fn -> match?({:ok, _}, :gen_tcp.connect({127, 0, 0, 1}, port, [], 200)) end)
    epmd
  end

  @doc "Ends what `start_epmd!/0` started."
  def stop_epmd(epmd) do
    with {:os_pid, pid} <- Port.info(epmd, :os_pid), do: System.cmd("kill", [to_string(pid)])
    :ok
  end

  @doc """
  Starts a node `name@127.0.0.1` with the package in its code path. `clusters` are the options of the clusters that it runs
  below one supervisor; the events of all of them are kept for `events/1`.
  """
  def start!(name, clusters \\ []) do
    name = "#{name}-#{System.unique_integer([:positive])}"

    {:ok, peer, node} =
      :peer.start(%{
        name: String.to_charlist(name),
        host: ~c"127.0.0.1",
        longnames: true,
        connection: :standard_io,
        args: arguments()
      })

    on_exit(fn -> stop(%{peer: peer}) end)
    {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [:rendez])
    test_node = %{peer: peer, name: node}
    if clusters != [], do: run(test_node, clusters)
    test_node
  end

  @doc "Runs clusters on a node that has none yet."
  def run(test_node, clusters) do
    :ok = call(test_node, Rendez.TestWatcher, :start, [clusters])
    test_node
  end

  @doc "Ends a node at once, as a crash does."
  def stop(%{peer: peer}) do
    :peer.stop(peer)
    :ok
  catch
    :exit, _ -> :ok
  end

  @doc "Calls a function on a node."
  def call(%{peer: peer}, module, function, arguments), do: :peer.call(peer, module, function, arguments, 30_000)

  @doc "What the clusters of a node told so far, as `{cluster, event}`, oldest first."
  def events(test_node), do: call(test_node, Rendez.TestWatcher, :events, [])

  @doc "Waits until the function says something true and returns it. The wait is long, since nothing is measured by it."
  def wait_for(fun, left \\ 15_000) do
    cond do
      result = fun.() -> result
      left <= 0 -> raise ExUnit.AssertionError, message: "waited for 15 seconds in vain"
      true -> Process.sleep(25) && wait_for(fun, left - 25)
    end
  end

  @doc "A UDP port that was free a moment ago."
  def free_udp_port do
    {:ok, socket} = :gen_udp.open(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_udp.close(socket)
    port
  end

  defp free_tcp_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    port
  end

  # `connect_all false`: no connection but those that Rendez makes.
  defp arguments do
    paths = for path <- :code.get_path(), path != ~c".", flag <- [~c"-pa", path], do: flag

    paths ++
      [~c"-connect_all", ~c"false", ~c"-start_epmd", ~c"false", ~c"-setcookie", String.to_charlist(@cookie)] ++
      [~c"-kernel", ~c"inet_dist_use_interface", ~c"{127,0,0,1}", ~c"-logger", ~c"level", ~c"none"]
  end
end
