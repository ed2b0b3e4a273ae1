# The projects that `mix rendez.migrate` is tried on are written as people write them.
inputs =
  for pattern <- ["{mix,.formatter,compile_rendez_nif}.exs", "{config,lib,test}/**/*.{ex,exs}"],
      path <- Path.wildcard(pattern, match_dot: true),
      not String.starts_with?(path, "test/migrate/projects/"),
      do: path

[
  inputs: inputs,
  line_length: 120
]
