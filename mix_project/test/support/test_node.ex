defmodule Rendez.TestNode do
  @moduledoc """
  Real nodes for the tests: each a BEAM of its own, spoken to over its standard input and output, so that neither the test
  nor anything else adds a connection to the cluster under test. A node ends with the test that started it.
  """

  import ExUnit.Callbacks, only: [on_exit: 1]

  @cookie "rendez_test_#{System.pid()}"

  @doc "Starts an EPMD on a free port of 127.0.0.1 and makes it the one of all nodes that start later."
  def start_epmd! do
    port = free_port()
    System.put_env("ERL_EPMD_PORT", to_string(port))
    System.put_env("ERL_EPMD_ADDRESS", "127.0.0.1")
    epmd = System.find_executable("epmd") || raise "epmd is not in PATH; it comes with Erlang"
    # It ends when its standard input does, which is when this BEAM does, however that ends.
    script = ~s(exec 3<&0; "$0" -port "$1" </dev/null & pid=$!; cat <&3 >/dev/null; kill $pid)
    epmd = Port.open({:spawn_executable, "/bin/sh"}, [:binary, args: ["-c", script, epmd, to_string(port)]])
    wait_for(fn -> match?({:ok, _}, :gen_tcp.connect({127, 0, 0, 1}, port, [], 200)) end)
    epmd
  end

  @doc "Ends what `start_epmd!/0` started."
  def stop_epmd(epmd) do
    Port.close(epmd)
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
        wait_boot: 120_000,
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
  def call(%{peer: peer}, module, function, arguments), do: :peer.call(peer, module, function, arguments, 120_000)

  @doc "What the clusters of a node told so far, as `{cluster, event}`, oldest first."
  def events(test_node), do: call(test_node, Rendez.TestWatcher, :events, [])

  @doc "Waits until the function says something true and returns it. The wait is long, since nothing is measured by it."
  def wait_for(fun, left \\ 60_000) do
    cond do
      result = fun.() -> result
      left <= 0 -> raise ExUnit.AssertionError, message: "waited for a minute in vain"
      true -> Process.sleep(25) && wait_for(fun, left - 25)
    end
  end

  @doc """
  A port that no other test uses until this BEAM ends, as `tests/support/ports.rs` has it: below the ports that the kernel
  chooses, and reserved by listening at the next one.
  """
  def free_port do
    caller = self()

    holder =
      spawn(fn ->
        send(caller, {self(), reserve(String.to_integer(System.pid()) * 7919)})
        Process.sleep(:infinity)
      end)

    receive do
      {^holder, port} -> port
    end
  end

  defp reserve(pair) do
    port = 20_000 + 2 * rem(pair, 5_000)

    with {:ok, _} <- :gen_tcp.listen(port + 1, ip: {127, 0, 0, 1}),
         {:ok, tcp} <- :gen_tcp.listen(port, []),
         :ok = :gen_tcp.close(tcp),
         {:ok, udp} <- :gen_udp.open(port),
         :ok = :gen_udp.close(udp) do
      port
    else
      {:error, _} -> reserve(pair + 1)
    end
  end

  # `connect_all false`: no connection but those that Rendez makes.
  defp arguments do
    paths = for path <- :code.get_path(), path != ~c".", flag <- [~c"-pa", path], do: flag

    paths ++
      [~c"-connect_all", ~c"false", ~c"-start_epmd", ~c"false", ~c"-setcookie", String.to_charlist(@cookie)] ++
      [~c"-kernel", ~c"inet_dist_use_interface", ~c"{127,0,0,1}", ~c"-logger", ~c"level", ~c"none"]
  end
end
