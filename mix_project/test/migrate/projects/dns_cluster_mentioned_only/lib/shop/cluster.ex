defmodule Shop.Cluster do
  def module, do: DNSCluster
end
