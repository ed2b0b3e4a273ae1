defmodule Shop do
  @children [{DNSCluster, query: "a.b"}]

  def start(_, _), do: Supervisor.start_link(@children, strategy: :one_for_one)
end
