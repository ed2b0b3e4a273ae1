defmodule Rendez.TestProviders do
  @moduledoc "Providers as a user writes them. Each answers with what the test put into its node's environment."

  defmodule Poll do
    @moduledoc "Peerage's form: a module with one function."
    def poll, do: Application.get_env(:rendez_test, :nodes, [])
  end

  defmodule Moody do
    @moduledoc "Answers, raises, or answers nonsense."
    @behaviour Rendez.Provider

    @impl true
    def poll do
      case Application.get_env(:rendez_test, :mood, :good) do
        :good -> Application.get_env(:rendez_test, :nodes, [])
        :raise -> raise "no idea"
        :nonsense -> :nonsense
      end
    end
  end

  defmodule Served do
    @moduledoc "A provider that is a process: without it, `poll/0` fails."
    use GenServer
    @behaviour Rendez.Provider

    def start_link, do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

    @impl Rendez.Provider
    def poll, do: GenServer.call(__MODULE__, :nodes)

    @impl GenServer
    def init(_), do: {:ok, Application.get_env(:rendez_test, :nodes, [])}

    @impl GenServer
    def handle_call(:nodes, _from, nodes), do: {:reply, nodes, nodes}
  end
end
