%% A machine without the variable that names the peers starts, and has no cluster.
-module(rendez_off_tests).

-include_lib("eunit/include/eunit.hrl").

off() ->
    [[{via, ignore}], [{via, nil}], [{via, undefined}], #{<<"via">> => <<"ignore">>}, [{via, [ignore]}],
     [{via, dns}, {dns_name, nil}], [{via, dns}, {dns_name, ignore}, {app_name, "shop"}],
     [{via, {dns, [{dns_name, undefined}]}}], [{via, [{dns, #{dns_name => nil}}]}],
     [{via, ignore}, {dns_name, "shop.test"}],
     [{via, [{dns, ignore}]}], [{via, [{dns, nil}]}], [{via, {dns, undefined}}], [{via, #{dns => ignore}}],
     [{via, [{multicast, nil}, {dns, ignore}]}], [{via, {http, ignore}}], [{via, [{<<"dns">>, <<"ignore">>}]}],
     [{via, {rendez_test_provider, ignore}}], [{via, [{rendez_test_stateful, nil}, {dns, nil}]}]].

off_switch_test_() ->
    [?_assertEqual(ignore, rendez:start_link(Options)) || Options <- off()].

look_up_test_() ->
    [?_assertEqual({ok, []}, rendez:resolve(Options)) || Options <- off()].

supervisors_go_on_test() ->
    application:load(rendez),
    ok = application:set_env(rendez, via, dns),
    ok = application:set_env(rendez, dns_name, nil),
    try
        {ok, _} = application:ensure_all_started(rendez),
        ?assertEqual(undefined, whereis(rendez)),
        ?assertEqual(ignore, rendez:start_cluster([{name, other}, {via, ignore}])),
        %% Nothing is left of it.
        {ok, Pid} = rendez:start_cluster([{name, other}, {via, self}]),
        ?assert(is_process_alive(Pid))
    after
        _ = application:stop(rendez),
        application:unset_env(rendez, via),
        application:unset_env(rendez, dns_name)
    end.

an_empty_text_is_a_mistake_test_() ->
    [fun() ->
         {error, {invalid_options, Message}} = rendez:start_link(Options),
         ?assertMatch({_, _}, binary:match(Message, <<"give nil or :ignore">>))
     end || Options <- [[{via, dns}, {dns_name, <<>>}], [{via, {dns, [{dns_name, <<" ">>}]}}],
                        %% Erlang's empty text is the empty list.
                        [{via, dns}, {dns_name, ""}], [{via, ""}], [{via, {file, #{path => ""}}}],
                        [{via, subnet}, {cidr, ""}]]].

a_list_of_nodes_may_be_empty_test() ->
    {ok, []} = rendez:resolve([{via, list}, {node_list, []}]).

one_provider_of_several_is_left_out_test() ->
    Nodes = {list, [{node_list, ["a@127.0.0.1"]}]},
    ?assertEqual({ok, [<<"a@127.0.0.1">>]}, rendez:resolve([{via, [{dns, ignore}, Nodes]}])),
    ?assertEqual({ok, [<<"a@127.0.0.1">>]}, rendez:resolve([{via, [Nodes, {rendez_test_provider, nil}]}])),
    ?assertMatch({ok, [#{name := y}]},
                 rendez_config:clusters([{clusters, [{x, nil}, {y, [{via, self}]}, {z, ignore}]}])),
    ?assertEqual({ok, []}, rendez_config:clusters([{clusters, nil}])).
