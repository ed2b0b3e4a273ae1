defmodule Shop.Cluster do
  def join do
    {:ok, _} = DNSCluster.start_link(query: "q.internal", interval: 5_000)
  end
end
