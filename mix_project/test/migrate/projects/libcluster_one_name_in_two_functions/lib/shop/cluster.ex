defmodule Shop.Cluster do
  alias Cluster.Strategy.Gossip

  def lan, do: {Cluster.Supervisor, [[gossip: [strategy: Gossip, config: [port: 4000]]], [name: Shop.Lan]]}
  def lab, do: {Cluster.Supervisor, [[gossip: [strategy: Gossip, config: [port: 5000]]], [name: Shop.Lab]]}
end
