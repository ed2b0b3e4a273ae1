net_kernel:monitor_nodes(true),
Started = list_to_integer(os:getenv("DEMO_T0")),
Say = fun(Format, Node) ->
          Seconds = (erlang:system_time(millisecond) - Started) / 1000,
          io:format("~8.3f s  delta    " ++ Format ++ "~n", [Seconds, Node])
      end,
Watch = fun Loop() ->
            receive
                {nodeup, Node} -> Say("connected to ~ts", Node);
                {nodedown, Node} -> Say("lost ~ts", Node)
            end,
            Loop()
        end,
Watch().
