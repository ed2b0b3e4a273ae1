defmodule Shop.ClusterSupervisor do
  use Supervisor

  def start_link(arg), do: Supervisor.start_link(__MODULE__, arg, name: __MODULE__)

  @impl true
  def init(_arg) do
    topologies = Application.fetch_env!(:shop, :topologies)
    Supervisor.init([{Cluster.Supervisor, [topologies]}], strategy: :one_for_one)
  end
end
