# The nodes of these tests have an EPMD of their own, which ends with them.
epmd = Rendez.TestNode.start_epmd!()
ExUnit.after_suite(fn _ -> Rendez.TestNode.stop_epmd(epmd) end)
# The order is the same each time; `mix test --seed N` has another, and RENDEZ_TEST_SEED too (scripts/test prints it).
seed = String.to_integer(System.get_env("RENDEZ_TEST_SEED", "20261127"))
# Nothing takes as long on an idle machine.
ExUnit.start(capture_log: true, seed: seed, timeout: 600_000)
