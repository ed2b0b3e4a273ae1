defmodule Rendez.ViaTest do
  use ExUnit.Case, async: true

  test "every provider has a module, and every module of a provider that is there names it" do
    words = for {_, word} <- Rendez.Via.modules(), do: word
    assert Rendez.providers() -- words == [], "give these a line in lib/rendez/via.ex"

    for {module, word} <- Rendez.Via.modules(), word in Rendez.providers() do
      assert :rendez_nif.is_provider(module), "#{inspect(module)} is not taken for #{word}"
      assert Code.ensure_loaded?(module)
    end
  end

  test "a module says the same as the word, with options beside it or within" do
    for via <- [Rendez.Via.List, [Rendez.Via.List], :list] do
      assert Rendez.resolve(via: via, node_list: [:a@h]) == {:ok, ["a@h"]}
    end

    for via <- [{Rendez.Via.List, node_list: [:a@h]}, [{Rendez.Via.List, node_list: [:a@h]}]] do
      assert Rendez.resolve(via: via) == {:ok, ["a@h"]}
    end

    message = assert_raise ArgumentError, fn -> Rendez.start_link(via: Rendez.Via.Dns, dns_nam: "x") end
    assert Exception.message(message) =~ ~r/dns_nam\b.*dns_name/
    message = assert_raise ArgumentError, fn -> Rendez.start_link(via: Rendez.Via.Dsn) end
    assert Exception.message(message) =~ "Rendez.Via.Dsn cannot be loaded"
  end

  test "a variable that is not set turns the cluster off" do
    peers = System.get_env("RENDEZ_TEST_PEERS_THAT_NOBODY_SETS")

    for options <- [[via: peers], [via: :dns, dns_name: peers], [via: :dns, dns_name: peers || :ignore], [via: :ignore]] do
      assert Rendez.start_link(options) == :ignore
      {:ok, supervisor} = Supervisor.start_link([{Rendez, options}], strategy: :one_for_one)
      assert [{{Rendez, :rendez}, :undefined, :worker, _}] = Supervisor.which_children(supervisor)
      Supervisor.stop(supervisor)
    end
  end

  test "poll/0 looks with what is configured, in whatever form" do
    nodes = [node_list: [:a@h]]

    for env <- [
          [via: :list, accept: "*@h", name: X] ++ nodes,
          [via: Rendez.Via.List] ++ nodes,
          [via: {:list, nodes}],
          [via: [list: nodes, self: []]],
          [via: [:self, {Rendez.Via.List, nodes}], max_nodes: 5],
          [via: %{list: nodes}]
        ] do
      assert Rendez.Via.configured(:list, env) == nodes, inspect(env)
    end

    assert Rendez.Via.configured(:dns, via: [list: nodes, self: []]) == []
    assert Rendez.Via.Self.poll() == []
    assert Rendez.Via.look(:list, nodes) == ["a@h"]
    assert_raise ArgumentError, ~r/dns_name is missing/, fn -> Rendez.Via.Dns.poll() end
  end
end
