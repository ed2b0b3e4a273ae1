%% @doc Keeps secrets out of reports.
%%
%% A supervisor writes the arguments of its children into its reports, and OTP has no way to hide
%% some of them. So {@link rendez:child_spec/1} seals the values of the options that are secrets: they
%% become bytes that mean nothing without a key that was made at random in this run of the BEAM and
%% is in no report. This keeps a secret out of logs; it does not guard it against code in the same BEAM.
-module(rendez_secret).

-export([seal/1, open/1]).

-export_type([sealed/0]).

-opaque sealed() :: {rendez_sealed, Nonce :: binary(), binary()}.

-define(KEY, {?MODULE, key}).

-define(IS_SECRET(Key),
        Key =:= secret; Key =:= token; Key =:= password; Key =:= cookie;
        Key =:= <<"secret">>; Key =:= <<"token">>; Key =:= <<"password">>; Key =:= <<"cookie">>).

%% @doc Seals the values of secret options, however deep they stand.
-spec seal(term()) -> term().
seal({Key, {rendez_sealed, _, _} = Sealed}) when ?IS_SECRET(Key) -> {Key, Sealed};
seal({Key, Value}) when ?IS_SECRET(Key) -> {Key, close(Value)};
seal({Key, Value}) -> {Key, seal(Value)};
seal([Head | Tail]) -> [seal(Head) | seal(Tail)];
seal(Map) when is_map(Map) -> maps:from_list(seal(maps:to_list(Map)));
seal(Other) -> Other.

%% @doc The opposite of {@link seal/1}.
-spec open(term()) -> term().
open({rendez_sealed, Nonce, Bytes}) -> binary_to_term(mask(Bytes, Nonce));
open({Key, Value}) -> {Key, open(Value)};
open([Head | Tail]) -> [open(Head) | open(Tail)];
open(Map) when is_map(Map) -> maps:map(fun(_, Value) -> open(Value) end, Map);
open(Other) -> Other.

close(Value) ->
    Nonce = random(16),
    {rendez_sealed, Nonce, mask(term_to_binary(Value), Nonce)}.

mask(Bytes, Nonce) ->
    Blocks = (byte_size(Bytes) + 15) div 16,
    Key = key(),
    Stream = << <<(erlang:md5([Key, Nonce, <<Block:32>>]))/binary>> || Block <- lists:seq(1, Blocks) >>,
    Size = byte_size(Bytes),
    <<Used:Size/binary, _/binary>> = Stream,
    list_to_binary(lists:zipwith(fun(A, B) -> A bxor B end,
                                 binary_to_list(Bytes), binary_to_list(Used))).

key() ->
    case persistent_term:get(?KEY, none) of
        none ->
            persistent_term:put(?KEY, random(32)),
            %% Whoever was first may have been overtaken: what is there now counts for all.
            persistent_term:get(?KEY);
        Key ->
            Key
    end.

%% OTP without crypto is possible, and an option is still better kept out of a report then.
random(Count) ->
    try crypto:strong_rand_bytes(Count)
    catch error:_ -> rand:bytes(Count)
    end.
