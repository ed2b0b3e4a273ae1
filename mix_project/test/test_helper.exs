# The nodes of these tests have an EPMD of their own, which ends with them.
epmd = Rendez.TestNode.start_epmd!()
ExUnit.after_suite(fn _ -> Rendez.TestNode.stop_epmd(epmd) end)
ExUnit.start(capture_log: true)
