# The compiler that builds the NIF has to exist before anything of this project is compiled, so it lives beside `lib/`.
Code.require_file("compile_rendez_nif.exs", __DIR__)

defmodule Rendez.MixProject do
  use Mix.Project

  @version "0.1.0"

  # The repository keeps the Erlang and the Rust sources beside this folder, the package carries them in `src/` and `native/`.
  @packaged File.regular?(Path.join(__DIR__, "native/Cargo.toml"))
  @erlang if @packaged, do: ".", else: "../erlang"

  def project do
    [
      app: :rendez,
      version: @version,
      elixir: "~> 1.14",
      elixirc_paths: if(Mix.env() == :test, do: ["lib", "test/support"], else: ["lib"]),
      compilers: [:rendez_nif | Mix.compilers()],
      erlc_paths: [Path.join(@erlang, "src")],
      erlc_include_path: Path.join(@erlang, "include"),
      # Compiled whenever the user's project is: warnings are ours to fix, not theirs to read.
      erlc_options: [:debug_info],
      rendez_nif: [cargo_root: if(@packaged, do: "native", else: ".."), packaged: @packaged],
      start_permanent: Mix.env() == :prod,
      deps: [],
      description: description(),
      package: package()
    ]
  end

  def application do
    [
      mod: {Rendez.Application, []},
      registered: [:rendez_sup],
      extra_applications: [:logger]
    ]
  end

  defp description do
    "Finds the peers of a BEAM node by DNS, multicast, EPMD or a module of yours, and joins them into a cluster. " <>
      "Discovery runs in Rust."
  end

  defp package do
    [
      name: "rendez",
      licenses: ["MIT", "Apache-2.0"],
      links: %{},
      build_tools: ["mix", "rebar3"],
      files: ~w(lib src native mix.exs compile_rendez_nif.exs .formatter.exs rebar.config build_nif.sh
          README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT)
    ]
  end
end
