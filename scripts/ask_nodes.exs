# Asks nodes on 127.0.0.1 for their `Node.list/0`, as a hidden node that is in nobody's list.
#
#   ask_nodes.exs whole NODE...              until each lists all others; prints the table
#   ask_nodes.exs without GONE NODE...       until none lists GONE
#
# Exits 1 after 20 seconds without the wanted answer.
defmodule Ask do
  def until(wanted, nodes, deadline) do
    lists = for node <- nodes, do: {node, list(node)}

    cond do
      wanted.(lists) -> {:ok, lists}
      System.monotonic_time(:millisecond) > deadline -> {:error, lists}
      true -> Process.sleep(20) && until(wanted, nodes, deadline)
    end
  end

  defp list(node) do
    # What `Node.list/0` calls; a plain `erl` node has no Elixir.
    node |> :erpc.call(:erlang, :nodes, [], 2_000) |> Enum.sort()
  catch
    _, _ -> :unreachable
  end

  def table(lists) do
    IO.puts("\n  node               Node.list")

    for {node, list} <- lists do
      shown = if list == :unreachable, do: "does not answer", else: Enum.join(list, "  ")
      IO.puts("  #{String.pad_trailing(to_string(node), 18)} #{shown}")
    end
  end
end

full = &:"#{&1}@127.0.0.1"

{wanted, nodes} =
  case System.argv() do
    ["whole" | names] ->
      nodes = Enum.map(names, full)
      {fn lists -> Enum.all?(lists, fn {node, list} -> list == Enum.sort(nodes -- [node]) end) end, nodes}

    ["without", gone | names] ->
      {fn lists -> Enum.all?(lists, fn {_, list} -> is_list(list) and full.(gone) not in list end) end,
       Enum.map(names, full)}
  end

{result, lists} = Ask.until(wanted, nodes, System.monotonic_time(:millisecond) + 20_000)
if result == :error or hd(System.argv()) == "whole", do: Ask.table(lists)
System.halt(if result == :ok, do: 0, else: 1)
