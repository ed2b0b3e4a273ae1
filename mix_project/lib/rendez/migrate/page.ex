defmodule Rendez.Migrate.Page do
  @moduledoc "Writes down what was found, as a configuration with comments that can be pasted."

  @doc "The page: each thing found, and at the end what could not be read."
  @spec write([Rendez.Migrate.found()], Rendez.Migrate.Project.t()) :: String.t()
  def write(found, project) do
    # Several topologies of one file are several clusters in one piece of configuration.
    chunks = Enum.chunk_by(found, &(&1.name && {&1.language, String.replace(&1.title, ~r/^.*\(/, "(")}))
    language = if found != [] and Enum.all?(found, &(&1.language == :erlang)), do: :erlang, else: :elixir
    parts = Enum.map(chunks, &chunk/1) ++ [unread(language, project.unread)]
    parts |> Enum.reject(&(&1 == "")) |> Enum.join("\n")
  end

  defp chunk([%{name: nil} = one | more]), do: Enum.map_join([one | more], "\n", &single/1)

  defp chunk(several) do
    clusters = for %{options: [_ | _] = options, name: name} <- several, do: {name, options}
    heads = Enum.map_join(several, "\n", &head/1)
    if clusters == [], do: heads, else: heads <> code(hd(several).language, clusters: clusters)
  end

  defp single(%{options: options} = found) when options in [nil, []], do: head(found)

  defp single(found) do
    case Keyword.pop(found.options, :name) do
      {nil, options} -> head(found) <> code(found.language, options)
      {name, options} -> head(found) <> code(found.language, clusters: [{name, options}])
    end
  end

  defp head(found) do
    comment(found.language, found.title) <>
      Enum.map_join(found.notes, &comment(found.language, "- " <> &1)) <>
      Enum.map_join(found.without_equal, &comment(found.language, "- NO EQUAL: " <> &1))
  end

  defp unread(_, []), do: ""

  defp unread(language, unread),
    do: Enum.map_join(["Not read:" | Enum.map(unread, &("- " <> &1))], &comment(language, &1))

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

  defp code(:elixir, options) do
    ast = {:config, [], [:rendez, Enum.map(options, &quoted/1)]}
    text = Macro.to_string(ast) |> Code.format_string!(locals_without_parens: [config: 2], line_length: 98)
    IO.iodata_to_binary([text, "\n"])
  end

  defp code(:erlang, options), do: IO.iodata_to_binary(:io_lib.format("~tp.~n", [[{:rendez, erlang(options)}]]))

  defp quoted({:code, code}), do: Code.string_to_quoted!(code)
  defp quoted({a, b}), do: {quoted(a), quoted(b)}
  defp quoted(list) when is_list(list), do: Enum.map(list, &quoted/1)
  defp quoted(value), do: Macro.escape(value)

  # Text as Erlang's people write it.
  defp erlang(text) when is_binary(text), do: String.to_charlist(text)
  defp erlang(list) when is_list(list), do: Enum.map(list, &erlang/1)
  defp erlang(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> Enum.map(&erlang/1) |> List.to_tuple()
  defp erlang(value), do: value
end
