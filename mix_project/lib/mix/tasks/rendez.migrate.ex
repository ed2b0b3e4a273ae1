defmodule Mix.Tasks.Rendez.Migrate do
  @shortdoc "Prints the configuration of rendez that does what Peerage, libcluster & co. do now"

  @moduledoc """
  Reads how this project finds its peers today, and prints the configuration of rendez that does the same.

      $ mix rendez.migrate
      $ mix rendez.migrate --env prod
      $ mix rendez.migrate rel/sys.config

  It knows Peerage (`config :peerage`), libcluster (`config :libcluster`, and topologies in the sources), dns_cluster
  (`{DNSCluster, ...}` in the sources), gen_cluster and nodefinder (in a `sys.config`, or started by a call). Each thing that
  has no equal is named, on a line with NO EQUAL.

  Nothing is changed, and nothing of the project is compiled, evaluated or started: its configuration and its sources are
  parsed. What is known only when the project runs, such as `System.get_env("QUERY")`, is printed as the same expression, with
  the file that it belongs into; a condition becomes an `if`. What cannot be followed is named with its file and line. Secrets
  are not printed.

  ## Arguments

    * files to read instead of `config/config.exs`, `config/runtime.exs` and any `sys.config` or `sys.config.src` at the usual
      places: `.exs` for Elixir's, any other for Erlang's;
    * `--env ENV` - for which the configuration is read, `prod` unless given. The page says where others differ;
    * `--target TARGET` - likewise, for a project with targets.

  A libcluster strategy of another package, or of your own, has no equal by itself. If it polls, give it a module with
  `poll/0` that returns the names (`Rendez.Provider`); if it is a process, add `serves: true`.

  It ends with 1 if there was nothing to migrate. `docs/migrating.md` tells how to do it node by node.
  """
  use Mix.Task

  @impl true
  def run(arguments) do
    {options, files} = OptionParser.parse!(arguments, strict: [env: :string, target: :string])

    for file <- files, not File.regular?(file), do: Mix.raise("#{file} is not there, or is no file")

    read = [
      env: name(options[:env], :prod),
      target: name(options[:target], Mix.target()),
      files: if(files != [], do: files)
    ]

    {found, page} = Rendez.Migrate.page(File.cwd!(), read)
    if page != "", do: Mix.shell().info(page)

    unless found do
      Mix.raise(
        "found nothing to migrate for the environment #{read[:env]}: no Peerage, libcluster, dns_cluster, gen_cluster or " <>
          "nodefinder is configured. Name another environment with --env, or the file that configures them"
      )
    end
  end

  # An argument of the one who runs it, not of a network.
  defp name(nil, default), do: default
  defp name(text, _), do: String.to_atom(text)
end
