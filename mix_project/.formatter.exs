[
  inputs: ["{mix,.formatter,compile_rendez_nif}.exs", "{config,lib,test}/**/*.{ex,exs}"],
  line_length: 120
]
