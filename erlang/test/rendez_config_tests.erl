-module(rendez_config_tests).
-compile([export_all, nowarn_export_all]).
-compile({parse_transform, rendez_patient}).

-include_lib("eunit/include/eunit.hrl").

via_stays_as_it_is_for_native_providers_test_() ->
    [?_assertMatch({ok, #{name := rendez, providers := [], native := #{via := Native}}},
                   rendez_config:cluster([{via, Via}]))
     || {Via, Native} <- [{dns, [dns]}, {<<"dns">>, [<<"dns">>]}, {"dns", [<<"dns">>]}, {udp, [udp]},
                          {{dns, []}, [{dns, []}]}, {[dns, {multicast, []}], [dns, {multicast, []}]},
                          {#{dns => #{}}, [{dns, #{}}]}, {'Elixir.Peerage.Via.Dns', ['Elixir.Peerage.Via.Dns']}]].

a_module_in_every_form_test_() ->
    Expected = #{name => <<"rendez_test_provider">>, module => rendez_test_provider, options => #{colour => red},
                 interval => 250, timeout => 10_000, serves => false},
    Own = [{colour, red}, {interval, "250ms"}],
    [?_assertMatch({ok, #{providers := [Expected], native := #{via := [{external, <<"rendez_test_provider">>}]}}},
                   opened(rendez_config:cluster(Options)))
     || Options <- [[{via, rendez_test_provider} | Own],
                    maps:from_list([{<<"via">>, rendez_test_provider} | Own]),
                    [{via, {rendez_test_provider, Own}}],
                    [{via, [{rendez_test_provider, Own}]}],
                    #{via => #{rendez_test_provider => maps:from_list(Own)}}]].

%% What a module is given may be a secret, and is sealed.
opened({ok, #{providers := [#{options := Sealed} = Provider]} = Config}) ->
    {ok, Config#{providers := [Provider#{options := rendez_secret:open(Sealed)}]}}.

flat_options_of_a_module_are_not_the_clusters_test() ->
    {ok, #{providers := [#{options := Own}], native := Native}} =
        opened(rendez_config:cluster([{via, rendez_test_provider}, {colour, red}, {max_nodes, 7}])),
    ?assertEqual(#{colour => red}, Own),
    ?assertEqual(#{max_nodes => 7, via => [{external, <<"rendez_test_provider">>}]}, Native).

beside_others_a_module_gets_its_own_options_only_test() ->
    {ok, #{providers := [#{options := Own}], native := Native}} =
        rendez_config:cluster([{via, [rendez_test_provider, dns]}, {dns_name, "x"}]),
    ?assertEqual(#{}, Own),
    ?assertMatch(#{dns_name := "x"}, Native).

refused_in_words_test_() ->
    [{Part, fun() ->
         {error, Message} = rendez_config:cluster(Options),
         ?assertNotEqual({nomatch, Message}, {string:find(Message, Part), Message})
     end}
     || {Options, Part} <-
            [{nonsense, "keyword list"},
             {[{via, self} | improper], "improper"},
             {[{via, [self | dns]}], "improper"},
             {[{via, self}, 7], "{name, value}"},
             {[{via, self}, {via, dns}], "via is given twice"},
             {[{<<"via">>, self}, {via, dns}], "via is given twice"},
             {[{via, self}, {name, "x"}], "name takes an atom"},
             {[{via, 7}], "via takes"},
             {[{via, lists}], "exports poll/0"},
             {[{via, 'Elixir.Not.There'}], "Not.There"},
             {[{via, [rendez_test_provider, rendez_test_provider]}], "twice"},
             {[{via, rendez_test_provider}, {interval, 0}], "above zero"},
             {[{via, rendez_test_provider}, {interval, "soon"}], "interval"},
             {[{via, rendez_test_provider}, {serves, maybe_so}], "true or false"},
             {[{via, rendez_test_provider}, {serves, true}], "start_link"},
             {[{via, self}, {dist, lists}], "rendez_dist"},
             {[{via, self}, {dist, 7}], "dist"}]].

clusters_of_an_environment_test_() ->
    [?_assertEqual({ok, []}, rendez_config:clusters([])),
     ?_assertEqual({ok, []}, rendez_config:clusters([{included_applications, []}])),
     %% What the build reads from config.exs stays in the environment of a node.
     ?_assertEqual({ok, []}, rendez_config:clusters([{features, [http]}])),
     ?_assertMatch({ok, [#{via := self}]}, rendez_config:clusters([{features, [http]}, {via, self}])),
     ?_assertMatch({ok, [#{name := x}]}, rendez_config:clusters([{features, [http]}, {clusters, [{x, [{via, self}]}]}])),
     ?_assertMatch({ok, [#{name := rendez, via := self}, #{name := x}]},
                   rendez_config:clusters([{via, self}, {clusters, [{x, [{via, self}]}]}])),
     ?_assertMatch({ok, [#{name := x}]}, rendez_config:clusters([{clusters, #{x => #{via => self}}}])),
     ?_assertMatch({error, <<"dns_name is set", _/binary>>}, rendez_config:clusters([{dns_name, "x"}])),
     ?_assertMatch({error, _}, rendez_config:clusters([{clusters, 7}])),
     ?_assertMatch({error, _}, rendez_config:clusters([{clusters, [7]}])),
     ?_assertMatch({error, _}, rendez_config:clusters([{clusters, [7 | 8]}])),
     ?_assertMatch({error, _}, rendez_config:clusters([{via, dsn}]))].

durations_test_() ->
    [?_assertEqual({Given, Expected}, {Given, rendez_config:duration_ms(Given)})
     || {Given, Expected} <- [{5, {ok, 5000}}, {0.25, {ok, 250}}, {"250ms", {ok, 250}}, {<<"5s">>, {ok, 5000}},
                              {" 1.5 s ", {ok, 1500}}, {"2m", {ok, 120_000}}, {"2min", {ok, 120_000}},
                              {"1h", {ok, 3_600_000}}, {"10", {ok, 10_000}}, {0, {ok, 0}},
                              {-1, error}, {"-1", error}, {"1.2.3", error}, {"", error}, {"5 apples", error},
                              {1 bsl 100, error}, {"99999999999", error}, {nope, error}, {[1 | 2], error},
                              {<<255>>, error}, {[], error}]].

%% What goes into a child specification or a crash report shows no secret.
secrets_are_sealed_test() ->
    Options = [{via, {multicast, #{secret => <<"monster">>, port => 4}}}, {<<"password">>, "monster"}],
    Sealed = rendez_secret:seal(Options),
    ?assertEqual(nomatch, string:find(io_lib:format("~p", [Sealed]), "monster")),
    ?assertEqual(Options, rendez_secret:open(Sealed)),
    ?assertEqual(Sealed, rendez_secret:seal(Sealed)),
    ?assertNotEqual(Sealed, rendez_secret:seal(Options)),
    Spec = rendez:child_spec(Options),
    ?assertEqual(nomatch, string:find(io_lib:format("~p", [Spec]), "monster")),
    {ok, Config} = rendez_config:cluster([{via, rendez_test_provider}, {secret, "monster"}]),
    ?assertEqual(nomatch, string:find(io_lib:format("~p", [Config]), "monster")).

whatever_is_sealed_is_the_same_when_opened_test_() ->
    Secret = {secret, "monster"},
    [?_test(begin
         Sealed = rendez_secret:seal(Options),
         ?assertEqual(nomatch, string:find(io_lib:format("~p", [Sealed]), "monster")),
         ?assertEqual(Options, rendez_secret:open(Sealed)),
         ?assertEqual(Sealed, rendez_secret:seal(Sealed))
     end)
     || Options <- [[{via, Via}, Secret] || Via <- [multicast, "multicast", <<"udp">>, [multicast], {multicast, [Secret]},
                                                    [{multicast, [Secret]}, dns], #{multicast => #{secret => "monster"}},
                                                    #{<<"mutlicast">> => [Secret]}, "https://monster@h", {monster, 1, 2},
                                                    [rendez_test_provider], {rendez_test_provider, [{path, "monster"}]},
                                                    [{dns, [Secret | "monster"]}], nil, ignore, 7]]
            ++ [[{via, rendez_test_provider}, {path, "monster"}],
                [{dist, {lists, [{a, "monster"}]}}], [{dist, lists}], #{dist => {lists, #{1 => "monster"}}},
                [{clusters, [{x, [Secret]}, [{name, y}, Secret]]}], [{clusters, #{x => [Secret]}}], [{clusters, "monster"}],
                "monster", <<"monster">>, #{1 => "monster"}, [Secret | "monster"], [{"monster", 1}], [{a, "monster", 2}], []]].

what_is_no_secret_stays_readable_test() ->
    Options = [{name, x}, {via, {dns, [{dns_name, "a.test"}]}}, {max_nodes, 7}, {<<"accept">>, "a@*"}, {dist, lists}],
    ?assertEqual(Options, rendez_secret:seal(Options)).

secrets_are_taken_out_of_terms_in_every_form_test_() ->
    Texts = rendez_secret:texts(#{token => "monster", url => <<"https://me:hush@h/names?key=k3y">>, code => 123_456,
                                  header => "Authorization: Bearer b34r3r", flag => true, path => "/etc/peers"}),
    [?_assertEqual({Term, Shown}, {Term, lists:flatten(io_lib:format("~0tp", [rendez_secret:redact(Term, Texts)]))})
     || {Term, Shown} <- [{"a monster b", "\"a ... b\""}, {<<"monster">>, "<<\"...\">>"}, {monster, "'...'"},
                          {{error, [<<"monster">>, "hush"]}, "{error,[<<\"...\">>,\"...\"]}"},
                          {#{monster => 123_456}, "#{'...' => '...'}"}, {[a | monster], "[a|'...']"},
                          {<<"no b34r3r for k3y">>, "<<\"no ... for ...\">>"}, {<<"/etc/peers">>, "<<\"/etc/peers\">>"},
                          {{true, 7, []}, "{true,7,[]}"}]].
