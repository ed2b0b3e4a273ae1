defmodule Rendez.ClusterTest do
  use ExUnit.Case

  import Rendez.TestNode
  alias Rendez.TestProviders

  defp multicast, do: [multicast: [interface: "127.0.0.1", port: free_port()]]

  defp nodes(node), do: node |> call(Node, :list, []) |> Enum.sort()
  defp set(node, key, value), do: call(node, Application, :put_env, [:rendez_test, key, value])

  test "nodes that nobody told about each other are connected, and tell what happened" do
    via = multicast()
    a = start!("a", [[via: via]])
    b = start!("b", [[via: via]])

    wait_for(fn -> nodes(a) == [b.name] and nodes(b) == [a.name] end)
    wait_for(fn -> call(a, Rendez, :peers, []) == [b.name] end)
    wait_for(fn -> Enum.any?(events(a), &match?({:rendez, {:joined, _, _}}, &1)) end)

    told = for {:rendez, event} <- events(a), do: event
    assert {:discovered, name, %{provider: _}} = Enum.find(told, &match?({:discovered, _, _}, &1))
    assert name == to_string(b.name)
    assert {:joined, node, info} = Enum.find(told, &match?({:joined, _, _}, &1))
    assert node == b.name
    assert is_integer(info.after_ms)

    status = call(a, Rendez, :status, [])
    assert status.cluster == :rendez
    assert status.node == a.name
    assert status.connected == [b.name]

    stop(b)
    wait_for(fn -> Enum.any?(events(a), &match?({:rendez, {:left, _, _}}, &1)) end)
    assert nodes(a) == []
  end

  test "several clusters in one BEAM do not mix" do
    b = start!("b")
    c = start!("c")
    left = [name: Test.Left, via: :list, node_list: [b.name]]
    right = [name: Test.Right, via: [list: [node_list: [c.name]]]]
    a = start!("a", [left, right])

    wait_for(fn -> nodes(a) == Enum.sort([b.name, c.name]) end)
    wait_for(fn -> call(a, Rendez, :peers, [Test.Left]) == [b.name] end)
    wait_for(fn -> call(a, Rendez, :peers, [Test.Right]) == [c.name] end)

    joined = for {cluster, {:joined, node, %{after_ms: _}}} <- events(a), do: {cluster, node}
    assert {Test.Left, b.name} in joined
    assert {Test.Right, c.name} in joined
  end

  test "the environment may name several clusters" do
    b = start!("b")
    a = start!("a")
    :ok = call(a, Application, :stop, [:rendez])
    clusters = [{Test.One, via: :list, node_list: [b.name]}, [name: Test.Two, via: :self]]
    :ok = call(a, Application, :put_env, [:rendez, :clusters, clusters])
    :ok = call(a, Application, :start, [:rendez])

    wait_for(fn -> call(a, Rendez, :peers, [Test.One]) == [b.name] end)
    assert call(a, Rendez, :peers, [Test.Two]) == []
  end

  test "why a node cannot be connected to is told" do
    a = start!("a", [[via: :list, node_list: [:"nobody@127.0.0.1"]]])
    wait_for(fn -> Enum.any?(events(a), &match?({_, {:connect_failed, _, _}}, &1)) end)

    {_, {:connect_failed, :"nobody@127.0.0.1", info}} = Enum.find(events(a), &match?({_, {:connect_failed, _, _}}, &1))

    assert info.reason == :not_registered
    assert info.message =~ "nobody"
    assert info.attempts == 1
    assert is_integer(info.retry_in_ms)
  end

  describe "a module with poll/0" do
    test "is a provider" do
      b = start!("b")
      a = start!("a")
      set(a, :nodes, [b.name])
      run(a, [[via: TestProviders.Poll, interval: 1]])
      wait_for(fn -> nodes(a) == [b.name] end)
    end

    test "is asked again at its interval, and at once by refresh/1" do
      b = start!("b")
      c = start!("c")

      a =
        start!("a", [
          [via: TestProviders.Poll, interval: "100ms"],
          [name: Slow, via: TestProviders.Poll, interval: 3600]
        ])

      set(a, :nodes, [to_string(b.name)])
      wait_for(fn -> nodes(a) == [b.name] end)

      set(a, :nodes, [b.name, c.name])
      wait_for(fn -> c.name in nodes(a) end)
      assert call(a, Rendez, :peers, [Slow]) == []
      :ok = call(a, Rendez, :refresh, [Slow])
      wait_for(fn -> Enum.sort(call(a, Rendez, :peers, [Slow])) == Enum.sort([b.name, c.name]) end)
    end

    test "that fails loses nothing, and status tells why" do
      b = start!("b")
      a = start!("a")
      set(a, :nodes, [b.name])
      run(a, [[via: TestProviders.Moody, interval: "50ms"]])
      wait_for(fn -> nodes(a) == [b.name] end)

      for {mood, why} <- [
            raise: "RuntimeError: no idea",
            nonsense: "Rendez.TestProviders.Moody:poll/0 has to return a list of node names"
          ] do
        set(a, :mood, mood)
        wait_for(fn -> a |> call(Rendez, :status, []) |> Map.fetch!(:providers) |> inspect(limit: :infinity) =~ why end)
        refute inspect(events(a)) =~ "Elixir."
        assert call(a, Rendez, :peers, []) == [b.name]
        set(a, :mood, :good)
        :ok = call(a, Rendez, :refresh, [])
        wait_for(fn -> Enum.any?(events(a), &match?({_, {:provider_recovered, _, _}}, &1)) end)
      end
    end

    test "with serves: true is started and supervised as a process" do
      b = start!("b")
      a = start!("a")
      set(a, :nodes, [b.name])
      run(a, [[via: TestProviders.Served, serves: true, interval: "100ms"]])
      wait_for(fn -> nodes(a) == [b.name] end)

      first = call(a, Process, :whereis, [TestProviders.Served])
      assert is_pid(first)
      call(a, Process, :exit, [first, :kill])
      wait_for(fn -> call(a, Process, :whereis, [TestProviders.Served]) not in [nil, first] end)
    end
  end

  test "telemetry gets the events where it is loaded" do
    b = start!("b")
    a = start!("a")

    fake = """
    defmodule :telemetry do
      def execute(event, measurements, metadata) do
        seen = Application.get_env(:rendez_test, :telemetry, [])
        Application.put_env(:rendez_test, :telemetry, [{event, measurements, metadata} | seen])
      end
    end
    """

    call(a, Code, :compile_string, [fake])
    run(a, [[via: :list, node_list: [b.name]]])

    joined = fn ->
      Enum.find(
        call(a, Application, :get_env, [:rendez_test, :telemetry, []]),
        &match?({[:rendez, :node, :joined], _, _}, &1)
      )
    end

    {_, measurements, metadata} = wait_for(joined)
    assert %{count: 1, after_ms: _} = measurements
    assert metadata.cluster == :rendez
    assert metadata.node == b.name
  end

  test "a node that is not alive has no peers and says so" do
    log =
      ExUnit.CaptureLog.capture_log(fn ->
        start_supervised!({Rendez, name: Test.NotAlive, via: :self})
        assert Rendez.peers(Test.NotAlive) == []
        assert %{alive: false} = Rendez.status(Test.NotAlive)
      end)

    assert log =~ "not alive"
  end
end
