defmodule Rendez.OptionsTest do
  use ExUnit.Case, async: true
  doctest Rendez

  defp refusal(options), do: Exception.message(assert_raise(ArgumentError, fn -> Rendez.start_link(options) end))

  describe "an option that is wrong" do
    test "is refused with its name and the nearest right spelling" do
      message = refusal(via: :dns, dns_nam: "myapp.internal")
      assert message =~ "dns_nam"
      assert message =~ ~r/dns_name\b/
    end

    test "is found in a provider's own options too" do
      assert refusal(via: [multicast: [prot: 45_900]]) =~ ~r/prot\b.*\bport\b/s
    end

    test "is refused with what it takes and what it got" do
      message = refusal(via: :multicast, port: "many")
      assert message =~ "port takes"
      assert message =~ "many"
    end

    test "may be the provider" do
      assert refusal(via: :dsn) =~ ~r/dsn\b.*\bdns\b/s
      assert refusal(via: NoSuch.Module) =~ "NoSuch.Module cannot be loaded"
      assert refusal(via: Enum) =~ "poll/0"
    end

    test "may be the name" do
      assert refusal(name: "MyCluster", via: :self) =~ "name takes an atom"
    end

    test "may be missing" do
      assert refusal(via: :dns) =~ "dns_name is missing"
    end

    test "is one line, and no wall of tuples, where a supervisor reports it" do
      Process.flag(:trap_exit, true)
      children = [{Rendez, name: __MODULE__, via: :dns, dns_nam: "x"}]
      {:error, reason} = Supervisor.start_link(children, strategy: :one_for_one)
      report = Exception.format_exit(reason)
      assert report =~ "** (ArgumentError)"
      assert report =~ ~r/dns_nam\b.*dns_name/
    end

    test "in the configuration stops the application with the same sentence" do
      :ok = Application.stop(:rendez)
      Application.put_env(:rendez, :via, :dsn)

      on_exit(fn ->
        Application.delete_env(:rendez, :via)
        {:ok, _} = Application.ensure_all_started(:rendez)
      end)

      {:error, reason} = Application.start(:rendez)
      report = Application.format_error(reason)
      assert report =~ "** (ArgumentError) config :rendez - "
      assert report =~ ~r/dsn\b.*\bdns\b/s
    end
  end

  describe "child_spec/1" do
    test "differs for each name" do
      assert Rendez.child_spec(via: :self).id == {Rendez, :rendez}
      assert Rendez.child_spec(via: :self, name: A).id != Rendez.child_spec(via: :self, name: B).id
    end

    test "shows no secret" do
      refute inspect(Rendez.child_spec(via: :multicast, secret: "tell nobody"), limit: :infinity) =~ "tell nobody"
    end
  end

  test "with no configuration nothing starts but the supervisor" do
    assert Supervisor.which_children(:rendez_sup) == []
  end

  test "the version of the package, of the Rust workspace and of the library are one" do
    version = to_string(Application.spec(:rendez, :vsn))
    assert Mix.Project.config()[:version] == version
    assert :rendez_nif.version() == version
  end
end
