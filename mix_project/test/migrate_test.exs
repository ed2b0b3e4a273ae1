defmodule Rendez.MigrateTest do
  use ExUnit.Case, async: true
  alias Rendez.Migrate

  # A project of these files, which ends with the test.
  defp project(files) do
    root = Path.join(System.tmp_dir!(), "rendez_migrate_#{System.unique_integer([:positive])}_#{System.pid()}")
    on_exit(fn -> File.rm_rf!(root) end)

    for {path, content} <- files do
      path = Path.join(root, path)
      File.mkdir_p!(Path.dirname(path))
      File.write!(path, content)
    end

    File.mkdir_p!(root)
    root
  end

  defp page(files, options \\ []) do
    {_, page} = files |> project() |> Migrate.page(options)
    page
  end

  # What is printed, read as the configuration that it is and checked as rendez does at start.
  defp configured(page) do
    config = page |> String.replace(~r/System.fetch_env!\("[A-Z_]+"\)/, ~s("from.the.environment")) |> evaluated()
    env = config[:rendez] || flunk("there is no configuration in:\n#{page}")
    clusters = Keyword.get(env, :clusters, []) ++ if(env[:via], do: [rendez: Keyword.delete(env, :clusters)], else: [])

    for {name, options} <- clusters, takes?(options) do
      # The library of the tests may have been built without the provider.
      with {:error, message} <- :rendez_nif.check(Map.new(options)),
           do: assert(message =~ "this build of Rendez is without it", "cluster #{name} of:\n#{page}")
    end

    env
  end

  defp evaluated(page) do
    root = project([{"config.exs", "import Config\n" <> page}])
    Config.Reader.read!(Path.join(root, "config.exs"))
  end

  # Providers that this build has.
  defp takes?(options),
    do: options[:via] in Rendez.providers() and Keyword.get(options, :dialects, [:native]) -- dialects() == []

  defp dialects do
    for dialect <- [:native, :libcluster, :peerage, :nodefinder, :gossip_cluster],
        :rendez_nif.check(%{via: :multicast, dialects: [dialect], secret: "x"}) == :ok,
        do: dialect
  end

  defp lost(page), do: page |> String.split("\n# - ") |> Enum.filter(&(&1 =~ "NO EQUAL"))

  describe "Peerage" do
    defp peerage(config), do: page([{"config/config.exs", "import Config\nconfig :peerage, " <> config}])

    test "each provider becomes ours, with Peerage's defaults where they differ" do
      assert configured(peerage("via: Peerage.Via.Self")) == [via: :self]

      assert configured(peerage(~s(via: Peerage.Via.List, node_list: [:"a@127.0.0.1"]))) ==
               [via: :list, node_list: [:"a@127.0.0.1"]]

      assert configured(peerage(~s(via: Peerage.Via.Dns, dns_name: "shop.internal", app_name: "shop"))) ==
               [via: :dns, dns_name: "shop.internal", app_name: "shop", ipv6: false, interval: 10]

      assert configured(peerage("via: Peerage.Via.Udp, serves: true, ip: {10, 0, 0, 7}, ttl: 2")) ==
               [via: :multicast, dialects: [:native, :peerage], interface: "10.0.0.7", ttl: 2]
    end

    test "a module of the user's goes on as it is" do
      page = peerage("via: Rendez.TestProviders.Poll, serves: false, interval: 3, secret_door: 7")
      assert configured(page) == [via: Rendez.TestProviders.Poll, interval: 3]
      assert page =~ "NO EQUAL: secret_door: 7"
    end

    test "what is read from the machine still is" do
      page = peerage(~s(via: Peerage.Via.Dns, app_name: "shop", dns_name: {:system, "SHOP_DNS"}))
      assert page =~ ~s|dns_name: System.fetch_env!("SHOP_DNS")|
      assert configured(page)[:dns_name] == "from.the.environment"
    end

    test "what has no equal is named" do
      page = peerage("via: Peerage.Via.Udp, port: 50_000, sync_offset: 5, log_results: false, colour: :red")
      assert [_, _, _] = lost(page)
      for part <- ["sync_offset", "log_results", "colour: :red"], do: assert(page =~ part)
      assert configured(page)[:peerage_group] == "230.1.1.1:50000"
      page = peerage(~s(via: Peerage.Via.Udp, port: {:system, "PORT", "45900", {String, :to_integer}}))
      assert page =~ ~S|peerage_group: "230.1.1.1:#{String.to_integer(System.get_env("PORT", "45900"))}"|
    end
  end

  describe "libcluster" do
    defp libcluster(topologies),
      do: page([{"config/config.exs", "import Config\nconfig :libcluster, topologies: " <> topologies}])

    defp topology(strategy, config), do: libcluster("[x: [strategy: Cluster.Strategy.#{strategy}, config: #{config}]]")
    @at_once [on_removed: {:disconnect, 0}]

    test "every strategy that it has" do
      for {strategy, config, expected} <- [
            {"Epmd", "[hosts: [:a@h], timeout: 30_000]", [via: :list, node_list: [:a@h]]},
            {"LocalEpmd", "[]", [via: :epmd]},
            {"ErlangHosts", "[timeout: 30_000]", [via: :hosts_file, interval: 30]},
            {"Gossip", "[]", [via: :multicast, dialects: [:native, :libcluster]]},
            {"Gossip", ~s([multicast_if: "10.0.0.7", multicast_ttl: 3, if_addr: "0.0.0.0", port: 45_892]),
             [via: :multicast, dialects: [:native, :libcluster], interface: "10.0.0.7", ttl: 3]},
            {"DNSPoll", ~s([query: "shop.internal", node_basename: "shop", polling_interval: 2_500]),
             [via: :dns, dns_name: "shop.internal", app_name: "shop", interval: "2500ms"] ++ @at_once},
            {"Kubernetes.DNS", ~s([service: "shop", application_name: "shop", polling_interval: 10_000]),
             [via: :dns, dns_name: "shop", app_name: "shop", interval: 10] ++ @at_once},
            {"Kubernetes.DNSSRV", ~s([service: "shop", namespace: "prod", application_name: "shop"]),
             [
               via: :dns,
               dns_name: "shop.prod.svc.cluster.local",
               record_type: :srv,
               host_type: :hostname,
               app_name: "shop"
             ] ++
               @at_once},
            {"Kubernetes", ~s([kubernetes_selector: "app=shop", kubernetes_node_basename: "shop", mode: :hostname,
              kubernetes_service_name: "shop", kubernetes_namespace: "prod", kubernetes_cluster_name: "corp"]),
             [
               via: :kubernetes,
               selector: "app=shop",
               namespace: "prod",
               app_name: "shop",
               lookup: :endpoint_slices,
               mode: :hostname,
               service_name: "shop",
               cluster_domain: "corp.local"
             ] ++ @at_once},
            {"Rancher", ~s([node_basename: "shop", stack: "front", service: "api"]),
             [via: :rancher, app_name: "shop"] ++ @at_once ++ [stack: "front", service: "api"]}
          ] do
        page = topology(strategy, config)
        assert configured(page) == expected, page
        assert lost(page) == [], page
      end
    end

    test "a secret is not printed" do
      page = topology("Gossip", ~s([secret: "tell nobody"]))
      refute page =~ "tell nobody"
      assert page =~ ~s|libcluster_secret: System.fetch_env!("RENDEZ_SECRET")|
      assert configured(page)[:libcluster_secret]
    end

    test "several topologies are several clusters" do
      page =
        libcluster("""
        [
          east: [strategy: Cluster.Strategy.Epmd, config: [hosts: [:a@h]]],
          west: [strategy: Cluster.Strategy.LocalEpmd]
        ]
        """)

      assert configured(page) == [clusters: [east: [via: :list, node_list: [:a@h]], west: [via: :epmd]]]
    end

    test "what has no equal is named, and a strategy of another package gets no configuration" do
      page =
        libcluster("""
        [x: [
          strategy: Cluster.Strategy.Gossip,
          connect: {MyApp, :connect, []},
          config: [broadcast_only: true, multicast_addr: "10.0.0.255", if_addr: "10.0.0.7", colour: :red]
        ]]
        """)

      for part <- ["connect - a module", "if_addr", "colour: :red"],
          do: assert(Enum.any?(lost(page), &(&1 =~ part)), part)

      assert configured(page)[:libcluster_broadcast_only]
      assert configured(page)[:libcluster_group] == "10.0.0.255:45892"

      page =
        libcluster("[x: [strategy: ClusterEC2.Strategy.Tags, config: [ec2_tagname: \"shop\", key: \"tell nobody\"]]]")

      assert page =~ "NO EQUAL: strategy: ClusterEC2.Strategy.Tags"
      assert page =~ "ec2_tagname"
      refute page =~ "tell nobody"
      refute page =~ "config :rendez,\n"
      page = topology("DNSPoll", ~s([query: "q", node_basename: "b", resolver: &String.length/1]))
      assert Enum.any?(lost(page), &(&1 =~ "resolver"))
    end

    test "topologies in the sources are found, and nothing is run to find them" do
      page =
        page([
          {"lib/app.ex",
           """
           raise "this is run"
           defmodule Shop.Application do
             def start(_, _) do
               topologies = [shop: [strategy: Cluster.Strategy.Epmd, config: [hosts: [:a@h], timeout: 1_000]]]
               Supervisor.start_link([{Cluster.Supervisor, [topologies, [name: Shop.Cluster]]}], strategy: :one_for_one)
             end
           end
           """},
          {"lib/broken.ex", "defmodule ("}
        ])

      assert configured(page) == [via: :list, node_list: [:a@h]]
      assert page =~ "(lib/app.ex:5)"
      assert page =~ "lib/broken.ex: a syntax error on line 1"
    end

    test "topologies that the sources take from the configuration are told once" do
      page =
        page([
          {"config/config.exs",
           "import Config\nconfig :libcluster, topologies: [x: [strategy: Cluster.Strategy.LocalEpmd]]"},
          {"lib/app.ex", "[{Cluster.Supervisor, [Application.get_env(:libcluster, :topologies)]}]"}
        ])

      assert page |> String.split("config :rendez") |> length() == 2
    end
  end

  describe "dns_cluster" do
    @child "[{DNSCluster, query: Application.get_env(:shop, :dns_cluster_query) || :ignore}]"

    defp dns_cluster(options), do: page([{"lib/app.ex", "[{DNSCluster, #{options}}]"}])

    test "its options" do
      for {options, expected} <- [
            {~s(query: "shop.internal"), [dns_name: "shop.internal"]},
            {~s(query: ["a.internal", {"other", "b.internal"}], interval: 1_000),
             [dns_name: ["a.internal", {"other", "b.internal"}], interval: 1]},
            {~s(query: "q", resource_types: [:aaaa]), [dns_name: "q", ipv6: true]},
            {~s(query: "q", resource_types: [:a, :aaaa]), [dns_name: "q"]},
            {~s(query: "q", resource_types: [:srv]), [dns_name: "q", record_type: :srv]},
            {~s(query: "q", resource_types: [:a, :srv]), [dns_name: "q", record_type: [:ip, :srv], ipv6: false]}
          ] do
        page = dns_cluster(options)
        assert configured(page) == [via: :dns] ++ expected, page
        assert lost(page) == [], page
      end

      assert configured(dns_cluster(~s(query: "q", name: Shop.Cluster))) == [
               clusters: [{Shop.Cluster, via: :dns, dns_name: "q"}]
             ]

      assert dns_cluster("query: :ignore") =~ "starts nothing"
      page = dns_cluster(~s(query: "q", connect_timeout: 5, log: :info, resolver: X, colour: 1))
      assert [_, _, _, _] = lost(page)
    end

    test "the query comes from the configuration of the environment that is asked for" do
      files = [
        {"lib/shop/application.ex", @child},
        {"config/config.exs", "import Config\nconfig :shop, ecto_repos: []"},
        {"config/runtime.exs",
         ~s|import Config\nif config_env() == :prod, do: config :shop, :dns_cluster_query, "shop.internal"\n|}
      ]

      assert configured(page(files, env: :prod)) == [via: :dns, dns_name: "shop.internal"]
      assert page(files, env: :dev) =~ "config :shop, :dns_cluster_query is not set for dev"
    end

    test "a query that only the code knows stays code" do
      page = page([{"lib/app.ex", ~s/[{DNSCluster, query: System.get_env("QUERY") || Shop.query()}]/}])
      assert page =~ ~s|dns_name: System.get_env("QUERY") \|\| Shop.query()|
    end

    test "a configuration that cannot be read is told with its place, and not with what it holds" do
      files = [{"lib/app.ex", @child}, {"config/runtime.exs", ~s/import Config\nconfig :shop, key: "tell nobody" "/}]
      page = page(files)
      assert page =~ "config/runtime.exs: a syntax error on line 2"
      refute page =~ "tell nobody"
    end

    test "no variable of the machine has to be set to read a configuration" do
      files = [
        {"lib/app.ex", @child},
        {"config/runtime.exs",
         ~s|import Config\nSystem.fetch_env!("NO_SUCH_VARIABLE")\nconfig :shop, :dns_cluster_query, "a.b"|}
      ]

      assert configured(page(files)) == [via: :dns, dns_name: "a.b"]
    end
  end

  describe "a sys.config" do
    defp erlang(terms) do
      root = project([{"config/sys.config", terms}])
      {_, page} = Migrate.page(root)
      File.write!(Path.join(root, "ours.config"), page)

      env =
        case :file.consult(Path.join(root, "ours.config")) do
          {:ok, [[rendez: env]]} -> env
          {:ok, []} -> nil
        end

      if env && takes?(env), do: assert(:ok == :rendez_nif.check(Map.new(env)), page)
      {env, page}
    end

    defp gen_cluster(env), do: erlang("[{kernel, []}, {gen_cluster, #{env}}].")

    test "gen_cluster's discoveries" do
      for {env, expected} <- [
            {"[{discovery, {static, ['a@h', 'b@h']}}]", [via: :list, node_list: [:a@h, :b@h]]},
            {"[{discovery, {epmd_all, \#{}}}]", [via: :epmd]},
            {"[{discovery, {epmd_all, \#{hosts => [localhost, rosa, {10,0,0,7}]}}}]",
             [via: :epmd, hosts: [:localhost, :rosa, ~c"10.0.0.7"]]},
            {"[{discovery, {dns, \#{domain => \"a.b\"}}}]", [via: :dns, dns_name: ~c"a.b", ipv6: false]},
            {"[{discovery, {dns, \#{domain => \"a.b\", record_type => srv, lookup_timeout => 500}}}]",
             [
               via: :dns,
               dns_name: ~c"a.b",
               record_type: :srv,
               host_type: :hostname,
               ipv6: false,
               lookup_timeout: ~c"500ms"
             ]},
            {"[{discovery, {gc_discover_dns_ip, \#{domain => \"a.b\", ipv6 => true}}}, {refresh_interval_ms, 250}]",
             [via: :dns, dns_name: ~c"a.b", ipv6: true, interval: ~c"250ms", refresh_interval_ms: 250]},
            {"[{discovery, {static, []}}, {refresh_interval_ms, infinity}]",
             [via: :list, node_list: [], refresh_interval_ms: :infinity]}
          ] do
        {ours, page} = gen_cluster(env)
        assert ours == expected, page
        refute page =~ "NO EQUAL", page
      end

      assert {nil, ""} = gen_cluster("[]")
    end

    test "gen_cluster's modules and distributions have no equal by themselves" do
      {ours, page} =
        gen_cluster(~s([{discovery, {my_discover, [{password, "tell nobody"}]}}, {dist, my_dist}, {colour, red}]))

      assert ours == [via: :my_discover]
      refute page =~ "tell nobody"
      assert page =~ "NO EQUAL: dist: :my_dist"
      assert page =~ "rendez_dist"
      assert page =~ "NO EQUAL: colour: :red"
    end

    test "nodefinder's multicast" do
      {ours, page} = erlang("[{nodefinder, [{if_name, <<\"eth0\">>}, {multicast_ttl, 2}]}].")
      group = [nodefinder_group: ~c"226.0.0.1:6969"]
      assert ours == [via: :multicast, dialects: [:native, :nodefinder]] ++ group ++ [interface: ~c"eth0", ttl: 2]
      refute page =~ "NO EQUAL"
      {ours, _} = erlang("[{nodefinder, [{addr, {226,0,0,9}}, {port, 7000}]}].")
      assert ours[:nodefinder_group] == ~c"226.0.0.9:7000"
    end

    test "further files that it names are read, and what is no configuration is told" do
      root =
        project([
          {"config/sys.config", ~s([{kernel, []}, "more"].)},
          {"config/more.config", "[{gen_cluster, [{discovery, {static, ['a@h']}}]}]."}
        ])

      assert {true, page} = Migrate.page(root)
      assert page =~ "node_list"

      for {terms, part} <- [
            {~s(["nowhere"].), "nowhere"},
            {~s([{kernel, [}].), "template"},
            {"[{a, []}]. [{b, []}].", "one list"},
            {~s(["sys"].), "includes itself"},
            {"[17].", "neither"}
          ] do
        {false, page} = [{"config/sys.config", terms}] |> project() |> Migrate.page()
        assert page =~ "Not read"
        assert page =~ part, page
      end
    end
  end

  describe "mix rendez.migrate" do
    test "prints the page, and fails where there is nothing" do
      root = project([{"config/config.exs", "import Config\nconfig :peerage, via: Peerage.Via.Self"}])
      empty = project([{"lib/app.ex", ""}])
      code = ~s|Mix.start(); Mix.Tasks.Rendez.Migrate.run(System.argv())|
      paths = Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])

      run = fn root, arguments ->
        System.cmd("elixir", paths ++ ["-e", code, "--" | arguments], cd: root, stderr_to_stdout: true)
      end

      assert {page, 0} = run.(root, [])
      assert page =~ "config :rendez, via: :self"
      assert {message, status} = run.(empty, [])
      assert status != 0
      assert message =~ "found nothing to migrate"
      assert {message, status} = run.(root, ["nowhere.config"])
      assert status != 0
      assert message =~ "nowhere.config is not there"
    end
  end
end
