%% Writes down, on the node that it runs on, which nodes come and go, when and why, and what `global` says of
%% overlapping partitions. Each line is written at once, so that it survives the node:
%%
%%     MILLISECONDS up|down NODE REASON
%%     MILLISECONDS log TEXT
-module(soak_observer).

-export([start/1, log/2]).

start(Path) ->
    Caller = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        register(?MODULE, self()),
        {ok, File} = file:open(Path, [append, raw]),
        ok = net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]),
        [write(File, ["up ", atom_to_list(Node)]) || Node <- nodes([visible, hidden])],
        Caller ! {self(), started},
        loop(File)
    end),
    receive
        {Pid, started} ->
            demonitor(Monitor, [flush]),
            logger:add_handler(?MODULE, ?MODULE, #{level => warning});
        {'DOWN', Monitor, process, Pid, Reason} ->
            {error, Reason}
    end.

loop(File) ->
    receive
        {nodeup, Node, _} ->
            write(File, ["up ", atom_to_list(Node)]);
        {nodedown, Node, Info} ->
            Reason = proplists:get_value(nodedown_reason, Info, unknown),
            write(File, ["down ", atom_to_list(Node), io_lib:format(" ~0tp", [Reason])]);
        {log, Text} ->
            write(File, ["log ", Text])
    end,
    loop(File).

write(File, Words) ->
    Time = integer_to_list(os:system_time(millisecond)),
    ok = file:write(File, unicode:characters_to_binary([Time, " ", Words, "\n"])).

%% A handler of `logger`.
log(Event, _Config) ->
    Text = logger_formatter:format(Event, #{single_line => true, template => [msg]}),
    case string:find(Text, "overlapping partitions") of
        nomatch -> ok;
        _ -> catch ?MODULE ! {log, string:replace(Text, "\n", " ", all)}
    end,
    ok.
