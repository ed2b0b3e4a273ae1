defmodule Rendez.Application do
  @moduledoc false
  # The Erlang application with an error that Mix and releases show as text: `{:error, {:invalid_options, binary}}` of
  # :rendez_app would be printed as an Erlang term.
  use Application

  @impl true
  def start(type, arguments) do
    case :rendez_app.start(type, arguments) do
      {:error, {:invalid_options, message}} -> raise ArgumentError, "config :rendez - " <> message
      other -> other
    end
  end
end
