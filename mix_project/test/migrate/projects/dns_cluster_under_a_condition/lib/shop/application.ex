defmodule Shop.Application do
  use Application

  def start(_type, _args) do
    children =
      if System.get_env("CLUSTERED") == "true" do
        [{DNSCluster, query: "q.internal"}, Shop.Repo]
      else
        [Shop.Repo]
      end

    Supervisor.start_link(children, strategy: :one_for_one)
  end
end
