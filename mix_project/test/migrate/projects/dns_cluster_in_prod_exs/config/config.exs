import Config

import_config "#{Mix.env()}.exs"
