defmodule Shop do
  def join do
    {:ok, _} = :nodefinder.multicast_start()
  end
end
