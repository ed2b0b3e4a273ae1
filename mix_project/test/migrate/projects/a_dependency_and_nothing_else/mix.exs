defmodule Shop.MixProject do
  use Mix.Project

  def project, do: [app: :shop, version: "0.1.0", deps: deps()]

  def application, do: [mod: {Shop.Application, []}]

  defp deps do
    [
      {:phoenix, "~> 1.7"},
      {:libcluster, "~> 3.3"}
    ]
  end
end
