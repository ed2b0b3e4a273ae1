defmodule Rendez.TestPages do
  @moduledoc "What the pages of `mix rendez.migrate` configure, started on a node of the tests as its application does."

  @doc """
  Starts the application with `env` as its environment, and stops it again. Returns the names of the clusters that ran, or
  what was said instead.
  """
  def start(env) do
    Application.stop(:rendez)
    for {key, _} <- Application.get_all_env(:rendez), do: Application.delete_env(:rendez, key)
    Application.put_all_env(rendez: env)

    with :ok <- Application.start(:rendez) do
      names = for {name, _} <- clusters(env), do: name
      for name <- names, do: %{providers: [_ | _]} = :rendez.status(name)
      {:ok, names}
    end
  after
    Application.stop(:rendez)
  end

  @doc "The clusters of an environment, each with its options."
  def clusters(env) do
    flat = if env[:via], do: [rendez: Keyword.delete(env, :clusters)], else: []
    flat ++ Keyword.get(env, :clusters, [])
  end
end
