defmodule Rendez.Provider do
  @moduledoc """
  A module that knows where the nodes are.

      defmodule MyWay do
        @behaviour Rendez.Provider

        @impl true
        def poll, do: [:"myapp@10.0.0.7", :"myapp@10.0.0.8"]
      end

      config :rendez, via: MyWay

  `poll/0` is called every `interval` (10 seconds unless configured) in a process of its own. A list is a complete answer:
  what an earlier one held and this one does not is no longer wanted. An exception, an exit or anything that is not a list of
  names is a failed look-up: it is shown in `Rendez.status/1`, the last answer stays, and the next call comes later and later
  until one succeeds.

  With `serves: true` the module is a process as well: `start_link/0` is called when the cluster starts and the process is
  supervised with it.

      config :rendez, via: MyWay, serves: true

  Names that come from an outside source are better given as strings: no atom is made of a name before it is validated,
  accepted and about to be connected to.
  """

  @doc "The names of all nodes that are known now, as atoms or strings. Names of this node and duplicates do no harm."
  @callback poll() :: [node() | String.t()]
end
