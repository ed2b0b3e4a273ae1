defmodule Rendez.Migrate.Gossip do
  @moduledoc "libcluster's strategy Gossip."
  import Rendez.Migrate.Found
  alias Rendez.Migrate.Value
  alias Rendez.Migrate.Value.{Choice, Code}

  @options [:multicast_if, :multicast_ttl, :secret, :multicast_addr, :port, :if_addr, :broadcast_only]
  @port 45_892

  @doc "Translates its options; the group depends on the version of libcluster."
  @spec translate(Rendez.Migrate.Found.t(), keyword(), Version.t() | nil) :: Rendez.Migrate.Found.t()
  def translate(found, config, version) do
    found
    |> put(:via, :multicast)
    |> put(:dialects, [:native, :libcluster])
    |> group(config, default(version))
    |> put(:interface, interface(config[:multicast_if]))
    |> ttl(config[:multicast_ttl])
    |> encrypted(config[:secret])
    |> note(
      "both are spoken while nodes with libcluster are left. Remove dialects and what begins with libcluster_ when the last " <>
        "of them is gone" <>
        if(config[:secret] in [nil, false],
          do: ". Without a secret the dialect of libcluster has no authentication",
          else: ""
        )
    )
    |> bound(config[:if_addr])
    |> rest(config, @options)
  end

  # https://github.com/bitwalker/libcluster/blob/main/CHANGELOG.md: another default since 3.3.0
  defp default(nil), do: {233, 252, 1, 32}
  defp default(version), do: if(Version.compare(version, "3.3.0") == :lt, do: {230, 1, 1, 251}, else: {233, 252, 1, 32})

  defp group(found, config, default) do
    port = Keyword.get(config, :port) || @port
    given = config[:multicast_addr]
    address = address(given || default)

    case {config[:broadcast_only], kind(address)} do
      {only, :broadcast} ->
        found =
          found |> at(address, port, {"255.255.255.255", @port}) |> put(:libcluster_broadcast_only, true) |> broadcast()

        if only == true, do: found, else: note(found, "multicast_addr is no multicast group, so it is broadcast to")

      {true, _} ->
        found
        |> at("255.255.255.255", port, {"255.255.255.255", @port})
        |> put(:libcluster_broadcast_only, true)
        |> broadcast()
        |> note(
          "broadcast_only with a multicast group: libcluster sends to the group #{shown(address)} and joins it nowhere, so its " <>
            "nodes do not hear each other. Here 255.255.255.255 is broadcast to; set libcluster_group to the broadcast address"
        )

      {%_{} = code, _} ->
        found
        |> at(address, port, {"233.252.1.32", @port})
        |> put(:libcluster_broadcast_only, code)
        |> note("if libcluster_broadcast_only is true, libcluster_group has to be a broadcast address")

      _ ->
        at(found, address, port, {"233.252.1.32", @port})
    end
  end

  defp at(found, address, port, {address, port}), do: found
  defp at(found, address, port, _), do: put(found, :libcluster_group, socket(address, port))

  defp kind(address) when is_binary(address) do
    case :inet.parse_ipv4_address(String.to_charlist(address)) do
      {:ok, {first, _, _, _}} when first in 224..239 -> :multicast
      {:ok, _} -> :broadcast
      _ -> :unknown
    end
  end

  defp kind(_), do: :unknown

  defp shown(address) when is_binary(address), do: address
  defp shown(_), do: "that is configured"

  defp broadcast(found) do
    note(
      found,
      "the dialect of libcluster is broadcast; our own goes to a multicast group. Where the network takes no multicast, find " <>
        "nodes by dns, epmd or subnet in the end"
    )
  end

  defp interface(none) when none in [nil, "0.0.0.0", {0, 0, 0, 0}], do: nil
  defp interface(address), do: address(address)

  defp ttl(found, default) when default in [nil, 1], do: found
  defp ttl(found, ttl) when ttl in 2..255, do: put(found, :ttl, ttl)
  defp ttl(found, %Code{} = code), do: put(found, :ttl, code)
  defp ttl(found, %Choice{} = code), do: put(found, :ttl, code)
  defp ttl(found, _), do: note(found, "multicast_ttl: a ttl is 1 to 255 here; with 1 announcements stay on the link")

  # A secret that depends: each case for itself.
  defp encrypted(found, %Choice{} = choice) do
    case Value.alternatives(choice) do
      [{_, %Code{}}, {_, none}] when none in [nil, false] -> secret(found, :libcluster_secret, choice.test)
      _ -> secret(found, :libcluster_secret, choice)
    end
  end

  defp encrypted(found, value), do: secret(found, :libcluster_secret, value)

  defp bound(found, all) when all in [nil, "0.0.0.0", {0, 0, 0, 0}], do: found

  defp bound(found, one),
    do: aside(found, [if_addr: one], :if_addr, "sockets listen to the group; interface chooses the network")
end
