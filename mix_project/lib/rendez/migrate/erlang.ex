defmodule Rendez.Migrate.Erlang do
  @moduledoc """
  Reads what Erlang's projects have: `sys.config`, `rebar.config`, and calls in the sources.

  Of what cannot be read only the place is said: the text of a configuration may hold a password.
  """

  @doc """
  Reads a `sys.config`, with the further files that it names; see config(4) of OTP. A `${VARIABLE}` of a template stays one.
  """
  @spec sys_config(Path.t(), [Path.t()]) :: {:ok, keyword()} | {:error, String.t()}
  def sys_config(path, above \\ []) do
    with false <- Path.expand(path) in above,
         {:ok, [terms]} when is_list(terms) <- consult(path) do
      Enum.reduce_while(terms, {:ok, []}, fn
        {app, env}, {:ok, config} when is_atom(app) and is_list(env) ->
          {:cont, {:ok, merge(config, [{app, Enum.filter(env, &match?({key, _} when is_atom(key), &1))}])}}

        other, {:ok, config} ->
          with name when is_binary(name) <- file_name(other),
               {:ok, more} <- included(name, path, above) do
            {:cont, {:ok, merge(config, more)}}
          else
            nil ->
              {:halt, {:error, "it has an entry that is neither {Application, Environment} nor the name of a file"}}

            {:error, why} ->
              {:halt, {:error, "it names #{file_name(other)}, which cannot be read: #{why}"}}
          end
      end)
    else
      true -> {:error, "it includes itself"}
      {:ok, _} -> {:error, "it has to be one list of {Application, Environment}, with a full stop after it"}
      {:error, why} -> {:error, why}
    end
  end

  defp merge(config, more), do: Keyword.merge(config, more, fn _, one, two -> Keyword.merge(one, two) end)

  defp file_name(text) when is_binary(text) and text != "", do: text
  defp file_name([_ | _] = text), do: if(List.ascii_printable?(text), do: List.to_string(text))
  defp file_name(_), do: nil

  defp included(name, path, above) do
    name = if Path.extname(name) == "", do: name <> ".config", else: name
    sys_config(Path.expand(name, Path.dirname(path)), [Path.expand(path) | above])
  end

  @doc "The terms of a file, each with a full stop after it."
  @spec consult(Path.t()) :: {:ok, [term()]} | {:error, String.t()}
  def consult(path) do
    with {:ok, text} <- File.read(path),
         {:ok, tokens, _} <- text |> templated() |> String.to_charlist() |> :erl_scan.string() do
      tokens
      |> Enum.chunk_while([], &dotted/2, fn rest -> if(rest == [], do: {:cont, []}, else: {:cont, rest, []}) end)
      |> Enum.reduce_while({:ok, []}, fn tokens, {:ok, terms} ->
        case :erl_parse.parse_term(Enum.reverse(tokens)) do
          {:ok, term} -> {:cont, {:ok, terms ++ [term]}}
          {:error, {line, _, _}} -> {:halt, {:error, syntax(line)}}
        end
      end)
    else
      {:error, reason} when is_atom(reason) -> {:error, to_string(:file.format_error(reason))}
      {:error, {line, _, _}, _} -> {:error, syntax(line)}
    end
  end

  defp syntax({line, _}), do: syntax(line)
  defp syntax(line) when is_integer(line), do: "a syntax error on line #{line}. A template has to be filled in first"
  defp syntax(_), do: "a syntax error at its end. A template has to be filled in first"

  defp dotted({:dot, _} = dot, tokens), do: {:cont, [dot | tokens], []}
  defp dotted(token, tokens), do: {:cont, [token | tokens]}

  # `${PORT}` outside of a text is an atom that is written as it stands.
  defp templated(text) do
    Regex.replace(~r/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|%[^\n]*|\$\{\w+\}/s, text, fn
      "$" <> _ = variable -> "'#{variable}'"
      other -> other
    end)
  end

  @doc "The files that rebar3 takes for a `sys.config`."
  @spec named_by_rebar(Path.t()) :: [Path.t()]
  def named_by_rebar(root) do
    case consult(Path.join(root, "rebar.config")) do
      {:ok, terms} -> terms |> named() |> Enum.uniq()
      _ -> []
    end
  end

  defp named({key, path}) when key in [:sys_config, :sys_config_src, :config] do
    case file_name(path) do
      nil -> []
      name -> [Path.relative_to(Path.expand(name, "/"), "/")]
    end
  end

  defp named(list) when is_list(list), do: Enum.flat_map(list, &named/1)
  defp named(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> named()
  defp named(_), do: []

  @doc "Calls of nodefinder in a source: the function, its arguments, and the line. Arguments that are no literals are `nil`."
  @spec calls(String.t()) :: [{atom(), [term()] | nil, pos_integer()}]
  def calls(text) do
    case text |> String.to_charlist() |> :erl_scan.string() do
      {:ok, tokens, _} -> in_tokens(tokens)
      _ -> []
    end
  end

  defp in_tokens([{:atom, line, :nodefinder}, {:":", _}, {:atom, _, function}, {:"(", _} | rest])
       when function in [:multicast_start, :ec2_start] do
    {inside, rest} = until_closed(rest, 0, [])
    [{function, arguments(inside, function), line} | in_tokens(rest)]
  end

  defp in_tokens([_ | rest]), do: in_tokens(rest)
  defp in_tokens([]), do: []

  defp until_closed([{:")", _} | rest], 0, done), do: {Enum.reverse(done), rest}

  defp until_closed([{open, _} = token | rest], depth, done) when open in [:"(", :"[", :"{"],
    do: until_closed(rest, depth + 1, [token | done])

  defp until_closed([{close, _} = token | rest], depth, done) when close in [:")", :"]", :"}"],
    do: until_closed(rest, depth - 1, [token | done])

  defp until_closed([token | rest], depth, done), do: until_closed(rest, depth, [token | done])
  defp until_closed([], _, done), do: {Enum.reverse(done), []}

  defp arguments([], _), do: []

  defp arguments(tokens, function) do
    with {:ok, forms} <- :erl_parse.parse_exprs(tokens ++ [{:dot, 1}]) do
      forms
      |> Enum.with_index()
      |> Enum.map(fn {form, index} ->
        # The first two of ec2_start are keys: nobody needs them here.
        if function == :ec2_start and index < 2, do: :key, else: :erl_parse.normalise(form)
      end)
    else
      _ -> nil
    end
  rescue
    _ -> nil
  end
end
