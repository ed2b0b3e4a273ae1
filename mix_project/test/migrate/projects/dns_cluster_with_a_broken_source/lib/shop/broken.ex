defmodule Shop.Broken do
  @key "hush-key"
  def key, do: @key 7 8
end
