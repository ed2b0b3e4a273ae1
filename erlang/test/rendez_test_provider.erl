%% @doc Providers for the tests, with `poll/0': says, or does, what the persistent term says.
-module(rendez_test_provider).

-export([poll/0, say/1]).

say(What) -> persistent_term:put(?MODULE, What).

poll() ->
    case persistent_term:get(?MODULE, []) of
        crash -> error(crashed_on_purpose);
        hang -> timer:sleep(infinity);
        killed -> exit(self(), kill), timer:sleep(infinity);
        Names -> Names
    end.
