defmodule Mix.Tasks.Compile.RendezNif do
  @shortdoc "Builds the NIF of rendez with cargo"

  @moduledoc """
  Builds `priv/rendez_nif.so` with cargo, in the release profile.

  Runs before the other compilers of rendez. Nothing is done, and cargo is not called, while the Rust sources, the
  manifests and the settings below are what they were when the library was built; `mix compile --force` always asks
  cargo. The dependencies are those of `Cargo.lock`, to the version.

  ## Environment

    * `RENDEZ_NIF_PATH` - a library that was built elsewhere; it is copied and cargo is not needed.
    * `RENDEZ_NIF_FEATURES` - providers that are left out of the library unless they are named, here or as
      `config :rendez, features: [:kubernetes]` in `config/config.exs`: `ec2`, `http`, `kubernetes`, `rancher`;
      commas between them.
    * `CARGO_TARGET_DIR` - where cargo builds. In a package the default is `_build/rendez_nif`, shared by the
      environments (dev, test, prod), as the build is the same for all of them.
    * `CARGO_BUILD_TARGET`, `RUSTFLAGS`, `CARGO_NET_OFFLINE` and the other variables of cargo work as always.
  """

  use Mix.Task.Compiler

  @manifest "compile.rendez_nif"
  # A change of these settings asks for a new build, as a changed source does.
  @settings ~w(RENDEZ_NIF_PATH RENDEZ_NIF_FEATURES CARGO_TARGET_DIR CARGO_BUILD_TARGET RUSTFLAGS)

  @impl true
  def run(args) do
    inputs = inputs()

    if "--force" not in args and File.regular?(library()) and read_manifest() == inputs do
      {:noop, []}
    else
      built = if path = prebuilt(), do: path, else: cargo_build(args)
      status = install(built, library())
      write_manifest(inputs)
      {status, []}
    end
  end

  @impl true
  def manifests, do: [manifest()]

  @impl true
  def clean do
    File.rm(manifest())
    File.rm(library())
    # Only a folder that nobody else builds in.
    if dir = own_target_dir(), do: File.rm_rf(dir)
    :ok
  end

  # --- what the library depends on ---

  defp inputs do
    root = cargo_root()

    sources =
      for pattern <- ["Cargo.{toml,lock}", "src/**/*", "native/**/*", "rendez_nif/**/*"],
          path <- Path.wildcard(Path.join(root, pattern)),
          Path.extname(path) in [".rs", ".toml", ".lock"],
          {:ok, stat} <- [File.stat(path, time: :posix)],
          do: {Path.relative_to(path, root), stat.mtime, stat.size}

    prebuilt =
      with path when path != nil <- prebuilt(),
           {:ok, stat} <- File.stat(path, time: :posix),
           do: {stat.mtime, stat.size}

    {Enum.sort(sources), prebuilt, features(), Enum.map(@settings, &{&1, System.get_env(&1)})}
  end

  # Both places add up. Which there are, cargo knows; it names what it does not know.
  defp features do
    configured = for feature <- List.wrap(Application.get_env(:rendez, :features, [])), do: to_string(feature)
    named = System.get_env("RENDEZ_NIF_FEATURES", "") |> String.split([",", " "], trim: true)
    (configured ++ named) |> Enum.uniq() |> Enum.sort()
  end

  defp prebuilt do
    case System.get_env("RENDEZ_NIF_PATH") do
      unset when unset in [nil, ""] ->
        nil

      path ->
        File.regular?(path) ||
          Mix.raise("RENDEZ_NIF_PATH is #{path}, which is not a file. Set it to a rendez_nif library, or unset it.")

        Path.expand(path)
    end
  end

  defp read_manifest do
    case File.read(manifest()) do
      {:ok, binary} -> decode(binary)
      {:error, _} -> nil
    end
  end

  # A manifest cut short by a full disk is as good as none.
  defp decode(binary) do
    :erlang.binary_to_term(binary)
  rescue
    ArgumentError -> nil
  end

  defp write_manifest(inputs) do
    File.mkdir_p!(Path.dirname(manifest()))
    File.write!(manifest(), :erlang.term_to_binary(inputs))
  end

  # --- cargo ---

  defp cargo_build(args) do
    cargo = find_cargo()
    check_version(cargo)
    target = if dir = own_target_dir(), do: ["--target-dir", dir], else: []
    quiet = if "--quiet" in args, do: ["--quiet"], else: []

    features = if features() == [], do: [], else: ["--features", Enum.join(features(), ",")]

    command =
      ~w(build --release --locked --package rendez_nif --message-format json-render-diagnostics) ++
        features ++ target ++ quiet

    unless "--quiet" in args, do: Mix.shell().info("Building the NIF of rendez (cargo, release profile)")

    # What cargo has to say to people goes to standard error and so straight to the terminal, as it happens.
    {messages, status} = System.cmd(cargo, command, cd: cargo_root(), env: environment(cargo))

    if status != 0 do
      Mix.raise("""
      the NIF of rendez could not be built: cargo ended with status #{status}, what it said is above.
      The command was: cargo #{Enum.join(command, " ")}
      in #{cargo_root()}
      Without a network, the crates of Cargo.lock must be in cargo's cache or vendored (`cargo vendor`). \
      Where Rust cannot build at all, set RENDEZ_NIF_PATH to a library built elsewhere.\
      """)
    end

    artifact(messages) || Mix.raise("cargo built rendez_nif but named no library: is crate-type still cdylib?")
  end

  # Where the library lies depends on the target directory, the target triple and cargo's configuration. Cargo knows.
  defp artifact(messages) do
    messages
    |> String.split("\n")
    |> Enum.filter(&String.contains?(&1, ~s("reason":"compiler-artifact")))
    |> Enum.find_value(fn line ->
      with true <- line =~ ~r/"target":\{[^{}]*"name":"rendez_nif"/,
           [_, names] <- Regex.run(~r/"filenames":\[([^\]]*)\]/, line) do
        Regex.scan(~r/"((?:[^"\\]|\\.)*\.(?:so|dylib|dll))"/, names)
        |> Enum.find_value(fn [_, name] -> String.replace(name, "\\\\", "\\") end)
      else
        _ -> nil
      end
    end)
  end

  # rustc of a musl system (Alpine) links statically unless told otherwise, and a NIF cannot be static.
  defp environment(cargo) do
    triple = System.get_env("CARGO_BUILD_TARGET") || host_triple(cargo)
    flags = System.get_env("RUSTFLAGS", "")

    if String.contains?(triple, "musl") and not String.contains?(flags, "crt-static"),
      do: [{"RUSTFLAGS", String.trim(flags <> " -C target-feature=-crt-static")}],
      else: []
  end

  defp host_triple(cargo) do
    {text, _} = System.cmd(cargo, ["--version", "--verbose"], cd: cargo_root(), stderr_to_stdout: true)

    case Regex.run(~r/^host: (\S+)/m, text) do
      [_, triple] -> triple
      nil -> ""
    end
  end

  defp find_cargo do
    # rustup installs there and says to open a new shell; this one may be the old one.
    home = System.get_env("CARGO_HOME") || Path.join(System.user_home() || "/", ".cargo")

    System.find_executable("cargo") || System.find_executable(Path.join([home, "bin", "cargo"])) ||
      Mix.raise("""
      rendez builds its NIF with Rust, and cargo was found neither in PATH nor in #{Path.join(home, "bin")}.
      #{remedy()}\
      """)
  end

  defp check_version(cargo) do
    {text, status} = System.cmd(cargo, ["--version"], cd: cargo_root(), stderr_to_stdout: true)

    case Regex.run(~r/^cargo (\d+)\.(\d+)/m, text) do
      [_, major, minor] when status == 0 ->
        found = {String.to_integer(major), String.to_integer(minor)}

        if found < needed() do
          Mix.raise(
            "rendez needs Rust #{version(needed())} or newer to build its NIF, #{cargo} is of Rust " <>
              "#{version(found)}.\n#{remedy()}"
          )
        end

      _ ->
        Mix.raise("#{cargo} does not tell its version; it said:\n#{text}\n#{remedy()}")
    end
  end

  defp needed do
    manifest = File.read!(Path.join(cargo_root(), "Cargo.toml"))
    [_, major, minor] = Regex.run(~r/^rust-version = "(\d+)\.(\d+)/m, manifest)
    {String.to_integer(major), String.to_integer(minor)}
  end

  defp version({major, minor}), do: "#{major}.#{minor}"

  defp remedy do
    """
    Install Rust #{version(needed())} or newer from https://rustup.rs (an installed one is updated with `rustup update`) \
    and compile again. Where there can be no Rust, build on a machine of the same kind and set RENDEZ_NIF_PATH to its \
    priv/rendez_nif.so.\
    """
  end

  # --- the library ---

  # A BEAM may have the old library mapped: it must be replaced, never written over.
  defp install(built, library) do
    if same?(built, library) do
      :noop
    else
      File.mkdir_p!(Path.dirname(library))
      temporary = library <> ".new"
      File.cp!(built, temporary)
      File.rename!(temporary, library)
      :ok
    end
  end

  defp same?(a, b), do: match?({{:ok, same}, {:ok, same}}, {File.read(a), File.read(b)})

  # `erlang:load_nif/2` adds ".dll" on Windows and ".so" everywhere else, macOS included.
  defp library do
    extension = if match?({:win32, _}, :os.type()), do: ".dll", else: ".so"
    Path.join([Mix.Project.app_path(), "priv", "rendez_nif" <> extension])
  end

  defp manifest, do: Path.join(Mix.Project.manifest_path(), @manifest)

  defp cargo_root, do: Path.expand(Mix.Project.config()[:rendez_nif][:cargo_root])

  # The repository's own `target/` is shared with the developer's cargo; a package builds within the user's `_build`.
  defp own_target_dir do
    cond do
      System.get_env("CARGO_TARGET_DIR") -> nil
      not Mix.Project.config()[:rendez_nif][:packaged] -> nil
      path = System.get_env("MIX_BUILD_PATH") -> Path.expand(Path.join(path, "rendez_nif"))
      true -> Mix.Project.build_path() |> Path.dirname() |> Path.join("rendez_nif")
    end
  end
end
