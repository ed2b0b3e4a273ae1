defmodule Rendez.Migrate.Nodefinder do
  @moduledoc """
  nodefinder: its environment, as a sys.config has it.

  That is the package with the options `addr`, `port`, `multicast_ttl` and `if_name`. The other one of the name is started by
  calls, `nodefinder:multicast_start/0` and `ec2_start/5`, and stands in no configuration.
  """
  import Rendez.Migrate, only: [address: 1, new: 1, note: 2, put: 3, rest: 3, socket: 2, text: 1]

  @doc "Translates the environment of the application `nodefinder`."
  @spec translate(keyword()) :: [Rendez.Migrate.found()]
  def translate(env) do
    [
      new("nodefinder by multicast")
      |> put(:via, :multicast)
      |> put(:dialects, [:native, :nodefinder])
      |> put(:nodefinder_group, socket(address(env[:addr] || {226, 0, 0, 1}), env[:port] || 6969))
      |> put(:interface, text(env[:if_name]))
      |> put(:ttl, if(env[:multicast_ttl] not in [nil, 1], do: env[:multicast_ttl]))
      |> note(
        "while nodes with nodefinder are left, both are spoken. Remove these two lines when the last of them is gone"
      )
      |> note(
        "its nodes announce themselves in an older form, which is read; our announcements are of the newer one, which " <>
          "they do not read. So it is the nodes with rendez that connect to them, each as soon as they announce themselves"
      )
      |> rest(env, [:if_name, :multicast_ttl, :addr, :port])
    ]
  end
end
