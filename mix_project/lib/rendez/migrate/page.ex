defmodule Rendez.Migrate.Page do
  @moduledoc "Writes down a plan, as a configuration with comments that can be pasted."
  alias Rendez.Migrate.{Eval, Found, Plan, Value}
  alias Rendez.Migrate.Value.{Choice, Code}

  # A condition that binds a variable fits into a line up to this length.
  @line 110

  @doc "The page: each thing found, and at the end what could not be read."
  @spec write(Plan.t(), Rendez.Migrate.Project.t(), [{atom(), String.t()}]) :: String.t()
  def write(plan, project, others) do
    off = plan.found |> Enum.reject(&Plan.on?/1) |> Enum.map(&head(&1, plan.language))
    blocks = blocks(plan)

    [Enum.join(off), environments(plan, project, others) | Enum.map(blocks, &block(&1, plan))]
    |> Kernel.++([trailer(plan, project)])
    |> Enum.reject(&(&1 == ""))
    |> Enum.join("\n")
  end

  @doc "The configuration alone."
  @spec code(Plan.t()) :: String.t()
  def code(plan), do: plan |> blocks() |> Enum.map_join("\n", &config(&1, plan))

  # What stands together: under the same conditions, in the same file.
  defp blocks(plan) do
    plan.found |> Enum.filter(&Plan.on?/1) |> Enum.chunk_by(&{Plan.condition(&1.guards), file(&1)})
  end

  defp block([first | _] = found, plan) do
    heads = Enum.map_join(found, &head(&1, plan.language))
    heads <> built(found, plan) <> comment(plan.language, "Write this into #{file(first)}:") <> config(found, plan)
  end

  # `config/config.exs` reads the machine that builds a release.
  defp built([first | _], plan) do
    now = first.file || ""

    if file(first) == "config/runtime.exs" and String.ends_with?(now, ".exs") and
         Path.basename(now) not in ["runtime.exs", "releases.exs"] and
         reads_machine?(first),
       do:
         comment(
           plan.language,
           "- #{now} reads the machine when the project is built, config/runtime.exs when it starts: set the variables there"
         ),
       else: ""
  end

  defp reads_machine?(found) do
    values = for({_, value} <- found.options, do: value) ++ for {test, _} <- found.guards, do: test
    # What has no place was not read there until now.
    Enum.any?(values, &(Value.runtime?(&1) and Value.place(&1) != nil))
  end

  # What reads the machine is read when the project starts.
  defp file(%{language: :erlang} = found), do: found.file || "config/sys.config"

  defp file(found) do
    if Enum.any?(found.options, fn {_, value} -> Value.runtime?(value) or Found.calls(value) != [] end) or
         found.guards != [],
       do: "config/runtime.exs",
       else: found.file || "config/config.exs"
  end

  # --- Comments ---

  defp head(found, language) do
    title = if found.place, do: "#{found.title} (#{found.place})", else: found.title

    comment(language, title) <>
      Enum.map_join(found.notes, &comment(language, "- " <> &1)) <>
      Enum.map_join(found.without_equal, &comment(language, "- NO EQUAL: " <> &1))
  end

  defp environments(%{language: :erlang}, _, _), do: ""

  defp environments(plan, project, others) do
    ours = code(plan)

    case Enum.reject(others, fn {_, code} -> code == ours end) do
      [] ->
        ""

      different when ours == "" ->
        envs = for {env, _} <- different, do: env

        comment(
          plan.language,
          "For #{project.env} nothing is started. There is a configuration for #{list(envs)}: --env #{hd(envs)} reads it"
        )

      different ->
        off = for {env, ""} <- different, do: env
        other = for {env, code} <- different, code != "", do: env

        [
          if(off != [], do: "in #{list(off)} nothing is started"),
          if(other != [], do: "in #{list(other)} it is another configuration (--env #{hd(other)})")
        ]
        |> Enum.reject(&is_nil/1)
        |> Enum.join(", ")
        |> then(
          &"This is for #{project.env}; #{&1}. In a file that all read, keep it under if config_env() == #{inspect(project.env)}."
        )
        |> then(&comment(plan.language, &1))
    end
  end

  defp list([one]), do: to_string(one)
  defp list(several), do: Enum.join(several, " and ")

  defp trailer(plan, project) do
    seen =
      for {kind, place} <- project.seen,
          do:
            "- #{place} mentions #{if kind == :libcluster, do: "Cluster.Supervisor", else: "DNSCluster"} in a way that is not followed: see what it starts"

    # A dependency of which nothing was found.
    alone =
      for package <- project.packages -- [:rendez],
          package in [:libcluster, :dns_cluster, :peerage, :nodefinder, :gen_cluster],
          plan.found == [] and project.seen == [],
          do: "- mix.exs has #{package}, and nothing that was read starts or configures it"

    case Enum.map(project.unread, &("- " <> &1)) ++ seen ++ alone do
      [] -> ""
      lines -> Enum.map_join(["Not read:" | lines], &comment(plan.language, &1))
    end
  end

  defp comment(:elixir, text), do: wrap("# ", text)
  defp comment(:erlang, text), do: wrap("%% ", text)

  defp wrap(mark, text) do
    {lines, last} =
      text
      |> String.split()
      |> Enum.reduce({[], ""}, fn word, {lines, line} ->
        cond do
          line == "" -> {lines, word}
          String.length(line) + String.length(word) < 96 -> {lines, line <> " " <> word}
          true -> {[line | lines], "  " <> word}
        end
      end)

    [last | lines] |> Enum.reverse() |> Enum.map_join(&(mark <> &1 <> "\n"))
  end

  # --- Code ---

  defp config(found, %{language: :erlang} = plan) do
    options = if plan.is_flat, do: hd(found).options, else: [clusters: for(one <- found, do: {one.name, one.options})]
    text = IO.iodata_to_binary(:io_lib.format("~tp.~n", [[{:rendez, erlang(options)}]]))
    # A variable of a template is written as it stands.
    Regex.replace(~r/'(\$\{\w+\})'/, text, "\\1")
  end

  defp config([first | _] = found, plan) do
    condition = Plan.condition(first.guards)
    options = if plan.is_flat, do: first.options, else: [clusters: for(one <- found, do: {one.name, one.options})]
    {condition, options} = bound(condition, options, Enum.flat_map(found, & &1.options))
    text = formatted({:config, [], [:rendez, Enum.map(options, &Value.quoted/1)]})

    cond do
      condition == nil ->
        text <> "\n"

      not String.contains?(text, "\n") and String.length(text) + String.length(formatted(condition)) + 9 <= @line ->
        "if #{formatted(condition)}, do: #{text}\n"

      true ->
        "if #{formatted(condition)} do\n#{indented(text)}\nend\n"
    end
  end

  defp formatted(ast),
    do:
      ast
      |> Macro.to_string()
      |> Elixir.Code.format_string!(locals_without_parens: [config: 2], line_length: 98)
      |> IO.iodata_to_binary()

  defp indented(text), do: text |> String.split("\n") |> Enum.map_join("\n", &if(&1 == "", do: "", else: "  " <> &1))

  # What the condition reads is not read again: `if query = System.get_env("QUERY")`.
  @words [dns_name: :query, node_list: :hosts, selector: :selector, app_name: :app_name, libcluster_secret: :secret]

  defp bound({{:., _, [{:__aliases__, _, [:System]}, :get_env]}, _, _} = test, options, each) do
    case Enum.find(each, fn {_, value} -> reads?(value, test) end) do
      nil ->
        {test, options}

      {key, _} ->
        var = {Keyword.get(@words, key, key), [], nil}
        {{:=, [], [var, test]}, for({key, value} <- options, do: {key, replaced(value, test, var)})}
    end
  end

  defp bound(condition, options, _), do: {condition, options}

  defp reads?(value, test), do: value |> Value.quoted() |> contains?(test)

  defp contains?(ast, test) do
    {_, found} = Macro.prewalk(ast, false, fn node, found -> {node, found or plain(node) == plain(test)} end)
    found
  end

  defp replaced(value, test, var) do
    if waits?(value) or reads?(value, test),
      do: %Code{ast: value |> Value.quoted() |> Macro.prewalk(&if(plain(&1) == plain(test), do: var, else: &1))},
      else: value
  end

  defp waits?(%Code{}), do: true
  defp waits?(%Choice{}), do: true
  defp waits?(_), do: false

  defp plain(ast), do: Eval.plain(ast)

  # Text as Erlang's people write it. What Elixir would read from the machine is for whoever pastes it.
  defp erlang(%Code{}), do: {:"WRITE ITS VALUE HERE"}
  defp erlang(%Choice{}), do: {:"WRITE ITS VALUE HERE"}
  defp erlang(text) when is_binary(text), do: String.to_charlist(text)
  defp erlang(list) when is_list(list), do: Enum.map(list, &erlang/1)
  defp erlang(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> Enum.map(&erlang/1) |> List.to_tuple()
  defp erlang(value), do: value
end
