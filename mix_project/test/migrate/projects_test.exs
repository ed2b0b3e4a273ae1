defmodule Rendez.MigrateProjectsTest do
  @moduledoc """
  Whole small projects, each in a folder of `projects/`: its sources, configuration and lock, and beside them

    * `right.exs` - what is right for it. `cases` are `{variables of the machine, the environment of rendez}`: to that the
      page has to come under those variables. `lost` is how many lines have NO EQUAL, `says` are parts of the page, `file` is
      where it says that the configuration belongs;
    * `page` - the page, to the letter. `UPDATE_PAGES=1 mix test test/migrate` writes it anew; read what changed.

  Every configuration is started: by the application itself, on one node. Texts that begin with `hush-` are secrets.
  """
  use ExUnit.Case, async: true
  alias Rendez.{Migrate, TestNode, TestPages}

  @projects Path.join(__DIR__, "projects")
  @names @projects |> File.ls!() |> Enum.sort()

  setup_all do
    %{node: TestNode.start!("pages")}
  end

  for name <- @names do
    @tag project: name
    test "#{name}", %{node: node} do
      root = Path.join(@projects, unquote(name))
      {right, _} = Code.eval_file(Path.join(root, "right.exs"))
      {_, page} = Migrate.page(root, Keyword.take(right, [:env, :files]))

      if System.get_env("UPDATE_PAGES"), do: File.write!(Path.join(root, "page"), page)
      assert page == File.read!(Path.join(root, "page"))
      refute page =~ "hush-"

      for {variables, expected} <- right[:cases] do
        env = configured(page, variables, right[:env] || :prod)
        assert sorted(env) == sorted(expected), "with #{inspect(variables)}:\n#{page}"
        if env != [], do: assert_starts(env, page, node)
      end

      text = flowing(page)
      assert length(String.split(text, "NO EQUAL:")) - 1 == right[:lost], page
      for part <- right[:says] || [], do: assert(text =~ flowing(part), "#{part} is not said in:\n#{page}")
      if right[:file], do: assert(text =~ "Write this into #{right[:file]}:", page)
    end
  end

  test "there are at least a hundred projects" do
    assert length(@names) >= 100
  end

  test "no page has a secret, whatever the environment" do
    for name <- @names, env <- [:dev, :test] do
      root = Path.join(@projects, name)
      {_, page} = Migrate.page(root, env: env)
      refute page =~ "hush-", "#{name} for #{env}:\n#{page}"
    end

    # They are there to be found.
    planted = for file <- Path.wildcard(@projects <> "/**"), File.regular?(file), File.read!(file) =~ "hush-", do: file
    assert length(planted) > 20
  end

  # Comments without their line breaks.
  defp flowing(text) do
    text |> String.replace(~r/\n(?:#|%%)   /, " ") |> String.replace(~r/\s+/, " ")
  end

  # As the project's configuration would read it. Variables are not the test machine's, so they are put into the text.
  defp configured(page, variables, env) do
    case page do
      "%%" <> _ ->
        page
        |> replaced(variables)
        |> consulted()

      _ ->
        {:__block__, [], [quote(do: import(Config)), Code.string_to_quoted!(page) || nil]}
        |> Macro.prewalk(fn
          {{:., _, [{:__aliases__, _, [:System]}, :get_env]}, _, [name | default]} ->
            quote(do: Map.get(unquote(Macro.escape(variables)), unquote(name), unquote(List.first(default))))

          {{:., _, [{:__aliases__, _, [:System]}, :fetch_env!]}, _, [name]} ->
            quote(do: Map.fetch!(unquote(Macro.escape(variables)), unquote(name)))

          node ->
            node
        end)
        |> Macro.to_string()
        |> evaluated(env)
    end
  end

  defp evaluated(text, env) do
    file = Path.join(System.tmp_dir!(), "rendez_page_#{System.pid()}_#{System.unique_integer([:positive])}.exs")
    File.write!(file, text)

    try do
      Config.Reader.read!(file, env: env)[:rendez] || []
    after
      File.rm(file)
    end
  end

  defp replaced(page, variables),
    do: Enum.reduce(variables, page, fn {name, value}, page -> String.replace(page, "${#{name}}", value) end)

  defp consulted(page) do
    {:ok, tokens, _} = page |> String.to_charlist() |> :erl_scan.string()

    case tokens do
      [] -> []
      tokens -> tokens |> :erl_parse.parse_term() |> then(fn {:ok, [rendez: env]} -> env end)
    end
  end

  defp sorted(env) do
    if Keyword.keyword?(env), do: env |> Enum.map(fn {key, value} -> {key, sorted(value)} end) |> Enum.sort(), else: env
  end

  # The library of the tests may be without a provider; then its options are checked all the same.
  defp assert_starts(env, page, node) do
    without =
      for {_, options} <- TestPages.clusters(env),
          native?(options),
          {:error, message} <- [:rendez_nif.check(Map.new(options))],
          do: message

    case without do
      [] ->
        assert {:ok, _} = TestNode.call(node, TestPages, :start, [kept_here(env)]), page

      [message | _] ->
        assert message =~ "this build of Rendez is without it", "#{message}\n#{page}"
    end
  end

  defp native?(options), do: not (is_atom(options[:via]) and not :rendez_nif.is_provider(options[:via]))

  # Nothing is sent from the machine: nobody is connected to, and no name server but one that is not there is asked. A module
  # of the project's is not there.
  defp kept_here(env) do
    clusters = for {name, options} <- TestPages.clusters(env), do: {name, here(options)}
    [clusters: clusters]
  end

  defp here(options) do
    options = Keyword.put(options, :max_connecting, 0)
    options = if options[:via] == :dns, do: Keyword.put(options, :nameservers, "127.0.0.1:1"), else: options

    if native?(options) or options[:via] == Rendez.TestProviders.Poll,
      do: options,
      else: [via: Rendez.TestProviders.Poll]
  end
end

defmodule Shop.Settings do
  @moduledoc false
  def query, do: "computed.internal"
  def clustered?, do: true
  def ignored, do: :ignore
  def interval, do: 7_000
end
