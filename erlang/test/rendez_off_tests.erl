%% A machine without the variable that names the peers starts, and has no cluster.
-module(rendez_off_tests).

-include_lib("eunit/include/eunit.hrl").

off() ->
    [[{via, ignore}], [{via, nil}], [{via, undefined}], #{<<"via">> => <<"ignore">>}, [{via, [ignore]}],
     [{via, dns}, {dns_name, nil}], [{via, dns}, {dns_name, ignore}, {app_name, "shop"}],
     [{via, {dns, [{dns_name, undefined}]}}], [{via, [{dns, #{dns_name => nil}}]}],
     [{via, ignore}, {dns_name, "shop.test"}]].

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
     end || Options <- [[{via, dns}, {dns_name, <<>>}], [{via, {dns, [{dns_name, <<" ">>}]}}]]].
