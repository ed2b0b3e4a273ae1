# The two halves of scripts/package that need Mix. Run inside mix_project:
#
#   stage_package.exs --stage DEP_INFO STAGE  copies the package to STAGE/rendez-VERSION
#   stage_package.exs --tarball FOLDER         writes hex_metadata.config into FOLDER, and FOLDER.tar and FOLDER.sha256 beside it
defmodule StagePackage do
  @repository Path.expand("..", __DIR__)

  def main(["--stage", dep_info, stage]) do
    check_versions()
    root = Path.join(stage, "rendez-#{version()}")
    File.mkdir_p!(root)

    for path <- ~w(lib mix.exs compile_rendez_nif.exs .formatter.exs),
        do: copy(Path.join("mix_project", path), root, path)

    for path <- ~w(src rebar.config build_nif.sh),
        File.exists?(Path.join([@repository, "erlang", path])),
        do: copy(Path.join("erlang", path), root, path)

    for path <- ~w(README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT), do: copy(path, root, path)
    rust(dep_info, root)
  end

  def main(["--tarball", root]) do
    files = files(root)
    metadata = metadata(files)
    config = for {key, value} <- metadata, do: :io_lib.format("~tp.~n", [{key, value}])
    File.write!(Path.join(root, "hex_metadata.config"), config)

    # rebar3 carries hex's own library: who packs and who checks is the code that hex.pm's clients run.
    load_hex_core()
    contents = for path <- files, do: {String.to_charlist(path), File.read!(Path.join(root, path))}
    {:ok, %{tarball: tarball, outer_checksum: checksum}} = call(:create, [Map.new(metadata), contents])
    {:ok, %{contents: unpacked}} = call(:unpack, [tarball, :memory])
    true = length(unpacked) == length(files)
    File.write!(root <> ".tar", tarball)
    File.write!(root <> ".sha256", Base.encode16(checksum, case: :lower))
  end

  # --- Elixir and Erlang ---

  defp version, do: Mix.Project.config()[:version]

  # One version in four files: a release that forgets one of them is stopped here.
  defp check_versions do
    found = [
      {"mix_project/mix.exs", version()},
      {"Cargo.toml", capture("Cargo.toml", ~r/^version = "(.*)"/m)},
      {"erlang/src/rendez.app.src", capture("erlang/src/rendez.app.src", ~r/\{vsn, "(.*)"\}/)}
    ]

    if found |> Enum.map(&elem(&1, 1)) |> Enum.uniq() |> length() != 1,
      do: Mix.raise("the versions differ: #{inspect(found)}")
  end

  defp capture(path, regex) do
    [_, version] = Regex.run(regex, File.read!(Path.join(@repository, path)))
    version
  end

  defp copy(from, root, to) do
    target = Path.join(root, to)
    File.mkdir_p!(Path.dirname(target))
    File.cp_r!(Path.join(@repository, from), target)
  end

  # --- Rust: the crate moves from the repository's root to native/, the NIF from native/rendez_nif to native/rendez_nif ---

  defp rust(dep_info, root) do
    for path <- sources(dep_info), do: copy(path, root, Path.join("native", Path.relative_to(path, "native")))
    copy("Cargo.lock", root, "native/Cargo.lock")

    crate = File.read!(Path.join(@repository, "Cargo.toml"))
    nif = File.read!(Path.join(@repository, "native/rendez_nif/Cargo.toml"))
    # What the NIF takes, and what it can be asked to take.
    asked = for [_, name] <- Regex.scan(~r|"rendez/([^"]*)"|, nif), do: name
    wanted = (nif |> line(~r/^rendez = /) |> feature_list()) ++ asked
    nif = nif |> sections() |> drop_sections() |> join() |> replace_once(~s(path = "../.."), ~s(path = ".."))
    crate = crate |> replace_once(~s("native/rendez_nif"), ~s("rendez_nif")) |> sections() |> drop_sections()

    File.write!(Path.join(root, "native/rendez_nif/Cargo.toml"), nif)
    File.write!(Path.join(root, "native/Cargo.toml"), crate |> trim(wanted) |> join())
  end

  defp sources(dep_info) do
    [_target, files] = dep_info |> File.read!() |> String.split(": ", parts: 2)

    for path <- files |> String.split() |> Enum.uniq(),
        path = Path.expand(path),
        String.starts_with?(path, @repository <> "/"),
        do: Path.relative_to(path, @repository)
  end

  # A manifest as a list of {header, [line]}; a value that goes over several lines becomes one.
  defp sections(text) do
    text
    |> String.split("\n")
    |> Enum.reject(&String.starts_with?(String.trim(&1), "#"))
    |> join_arrays()
    |> Enum.chunk_while({"", []}, &chunk/2, fn {header, lines} -> {:cont, {header, Enum.reverse(lines)}, nil} end)
  end

  defp chunk("[" <> _ = header, {previous, lines}), do: {:cont, {previous, Enum.reverse(lines)}, {header, []}}
  defp chunk(line, {header, lines}), do: {:cont, {header, [line | lines]}}

  defp join_arrays(lines) do
    lines
    |> Enum.reduce([], fn
      line, [open | done] = all -> if balanced?(open), do: [line | all], else: [open <> " " <> String.trim(line) | done]
      line, [] -> [line]
    end)
    |> Enum.reverse()
  end

  defp balanced?(line), do: count(line, "[") + count(line, "{") == count(line, "]") + count(line, "}")
  defp count(line, char), do: length(String.split(line, char)) - 1

  defp join(sections) do
    for({header, lines} <- sections, line <- [header | lines], do: line)
    |> Enum.join("\n")
    |> String.replace(~r/\n{3,}/, "\n\n")
    |> String.trim_leading()
  end

  # What needs files that the package does not have, and what only a developer of rendez uses.
  defp drop_sections(sections) do
    Enum.reject(sections, fn {header, _} ->
      header =~ ~r/^\[(dev-dependencies|profile\.(dev|test|bench))/ or
        header =~ ~r/^\[\[(bin|bench|test|example)\]\]/
    end)
  end

  # Features that the NIF does not ask for would name modules that are not there; their dependencies go with them.
  # The `cfg`s of the modules that stay at home are still in the sources, and no mistake.
  defp trim(sections, wanted) do
    {_, features} = List.keyfind!(sections, "[features]", 0)
    features = for text <- features, [_, name] <- [Regex.run(~r/^(\S+) = \[/, text)], do: {name, feature_list(text)}
    kept = closure(wanted, Map.new(features))
    taken = for {name, list} <- features, name in kept, "dep:" <> dependency <- list, do: dependency

    dropped = for {name, _} <- features, name not in kept, name != "default", do: inspect(name)
    known = ~s|unexpected_cfgs = { level = "warn", check-cfg = ['cfg(feature, values(#{Enum.join(dropped, ", ")}))'] }|

    Enum.map(sections, fn
      {"[workspace.lints.rust]" = header, lines} ->
        {header, [known | lines]}

      {"[features]" = header, _} ->
        {header, ["default = []"] ++ for({name, list} <- features, name in kept, do: "#{name} = #{inspect(list)}") ++ [""]}

      {"[dependencies]" = header, lines} ->
        {header, Enum.reject(lines, &(&1 =~ "optional = true" and hd(String.split(&1, " = ")) not in taken))}

      other ->
        other
    end)
  end

  defp closure(names, features) do
    more = Enum.uniq(names ++ for(name <- names, item <- features[name] || [], features[item], do: item))
    if length(more) == length(names), do: names, else: closure(more, features)
  end

  defp feature_list(line) do
    [_, list] = Regex.run(~r/\[(.*)\]/, line)
    for [_, item] <- Regex.scan(~r/"([^"]*)"/, list), do: item
  end

  defp line(text, regex), do: text |> String.split("\n") |> Enum.find(&(&1 =~ regex))

  defp replace_once(text, from, to) do
    [before, rest] = String.split(text, from)
    before <> to <> rest
  end

  # --- hex ---

  # The files that `package/0` names, as `mix hex.build` would pick them.
  defp files(root) do
    named = Mix.Project.config()[:package][:files]

    files =
      for pattern <- named,
          path <- Path.wildcard(Path.join(root, pattern), match_dot: true),
          file <- if(File.dir?(path), do: Path.wildcard(path <> "/**/*", match_dot: true), else: [path]),
          File.regular?(file),
          do: Path.relative_to(file, root)

    staged = for path <- Path.wildcard(root <> "/**/*", match_dot: true), File.regular?(path), do: Path.relative_to(path, root)

    case {Enum.filter(named, &(Path.wildcard(Path.join(root, &1), match_dot: true) == [])), staged -- files} do
      {[], []} -> Enum.sort(Enum.uniq(files))
      {missing, extra} -> Mix.raise("package/0 names #{inspect(missing)}, not staged; staged but not named: #{inspect(extra)}")
    end
  end

  defp metadata(files) do
    config = Mix.Project.config()
    package = config[:package]

    [
      {"name", package[:name]},
      {"version", config[:version]},
      {"app", to_string(config[:app])},
      {"description", config[:description]},
      {"licenses", package[:licenses]},
      {"links", Enum.to_list(package[:links])},
      {"elixir", config[:elixir]},
      {"build_tools", package[:build_tools]},
      {"requirements", []},
      {"files", files}
    ]
  end

  defp call(function, arguments), do: apply(:r3_hex_tarball, function, arguments)

  defp load_hex_core do
    {:ok, sections} = "rebar3" |> System.find_executable() |> String.to_charlist() |> :escript.extract([])
    {:ok, files} = :zip.unzip(sections[:archive], [:memory])

    for {name, beam} <- files, Path.basename(name) =~ ~r/^r3_.*\.beam$/ do
      {:module, _} = name |> Path.basename(".beam") |> String.to_atom() |> :code.load_binary(name, beam)
    end
  end
end

StagePackage.main(System.argv())
