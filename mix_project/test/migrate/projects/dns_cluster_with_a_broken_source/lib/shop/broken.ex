defmodule Shop.Broken do
  @key "hush-key
