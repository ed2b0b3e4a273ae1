%% @doc Keeps secrets out of reports.
%%
%% A supervisor writes the arguments of its children into its reports, a process that crashes its state, and OTP has no
%% way to hide some of them. So the values of options that may be secrets are sealed: they become bytes that mean
%% nothing without a key that was made at random in this run of the BEAM and is in no report. This keeps a secret out of
%% logs; it does not guard it against code in the same BEAM.
%%
%% Which options are secrets, the native library's table of options says ({@link rendez_nif:public_options/0}), and
%% nothing here does. An option that is not in the table may be a secret whose name is misspelt, and what a module of the
%% user's is given may be anything: both are sealed.
-module(rendez_secret).

-export([seal/1, seal_all/1, open/1, texts/1, redact/2, without_arguments/1]).

-export_type([sealed/0]).

-opaque sealed() :: {rendez_sealed, Nonce :: binary(), binary()}.

-define(KEY, {?MODULE, key}).

%% The options that only the BEAM side knows, without those that lead to others.
-define(OURS, [name]).
%% What replaces a secret in a text.
-define(HIDDEN, <<"...">>).
%% Shorter texts are not searched for: they occur in every message.
-define(SHORTEST, 3).
%% How deep and how wide a term is searched. Messages show no more of one.
-define(DEEPEST, 14).
-define(WIDEST, 100).

%%% Sealing

%% @doc Seals the values of the options of a cluster, or of several, that may be secrets.
-spec seal(term()) -> term().
seal(Options) ->
    Table = public(),
    Public = case is_only_module(Options) of
        %% What stands beside a module is the module's.
        true -> words(cluster_options());
        false -> Table
    end,
    options(Options, #{public => Public, table => Table}).

%% @doc Seals every value.
-spec seal_all(term()) -> term().
seal_all(Options) -> options(Options, #{public => #{}, table => #{}}).

options(Map, Known) when is_map(Map) ->
    values(fun(Entry) -> option(Entry, Known) end, Map);
options([Head | Tail], Known) ->
    [option(Head, Known) | options(Tail, Known)];
options([], _) -> [];
options(Other, _) -> close(Other).

option({_, {rendez_sealed, _, _}} = Sealed, _) -> Sealed;
option({Key, Value}, #{public := Public} = Known) when is_atom(Key); is_binary(Key) ->
    case text(Key) of
        <<"via">> -> {Key, via(Value, Known)};
        <<"dist">> -> {Key, dist(Value)};
        <<"clusters">> -> {Key, clusters(Value)};
        Word when is_map_key(Word, Public) -> {Key, Value};
        _ -> {Key, close(Value)}
    end;
option(Flag, _) when is_atom(Flag) -> Flag;
option(Other, _) -> close(Other).

via(Word, _) when is_atom(Word) -> Word;
via({Kind, Options}, Known) -> provider(Kind, Options, Known);
via(Map, Known) when is_map(Map) -> values(fun(Entry) -> via(Entry, Known) end, Map);
via([Head | Tail], Known) when not is_integer(Head) -> [via(Head, Known) | via(Tail, Known)];
via([], _) -> [];
via({rendez_sealed, _, _} = Sealed, _) -> Sealed;
via(Other, _) ->
    case is_provider(Other) of
        true -> Other;
        false -> close(Other)
    end.

%% The name of a module that is a provider.
provider(external, Name, _) -> {external, Name};
provider(Kind, Options, #{table := Table}) ->
    case is_provider(Kind) of
        true -> {Kind, options(Options, #{public => Table, table => Table})};
        false when is_atom(Kind) -> {Kind, seal_all(Options)};
        %% What is known by its name only, once a module was found.
        false -> close({Kind, Options})
    end.

dist(Module) when is_atom(Module) -> Module;
dist({rendez_sealed, _, _} = Sealed) -> Sealed;
dist({Module, Options}) when is_atom(Module) -> {Module, seal_all(Options)};
dist(Other) -> close(Other).

clusters(Map) when is_map(Map) -> maps:map(fun(_, Options) -> seal(Options) end, Map);
clusters([{Name, Options} | Rest]) when is_list(Options); is_map(Options) -> [{Name, seal(Options)} | clusters(Rest)];
clusters([Options | Rest]) -> [seal(Options) | clusters(Rest)];
clusters([]) -> [];
clusters(Other) -> close(Other).

%% Seals the values of a map one by one, or the whole map if one of its keys is not a name.
values(Seal, Map) ->
    Entries = [Seal(Entry) || Entry <- maps:to_list(Map)],
    case [Entry || {_, _} = Entry <- Entries] of
        Entries -> maps:from_list(Entries);
        _ -> close(Map)
    end.

is_only_module(Options) when is_map(Options) -> is_only_module(maps:to_list(Options));
is_only_module(Options) ->
    case [Value || {Key, Value} <- proper(Options), Key =:= via orelse Key =:= <<"via">>] of
        [Word] when is_atom(Word) -> not is_provider(Word);
        [[Word]] when is_atom(Word) -> not is_provider(Word);
        _ -> false
    end.

proper([Head | Tail]) -> [Head | proper(Tail)];
proper(_) -> [].

%% @doc The opposite of {@link seal/1}.
-spec open(term()) -> term().
open({rendez_sealed, Nonce, Bytes}) -> binary_to_term(mask(Bytes, Nonce));
open({Key, Value}) -> {Key, open(Value)};
open([Head | Tail]) -> [open(Head) | open(Tail)];
open(Map) when is_map(Map) -> maps:map(fun(_, Value) -> open(Value) end, Map);
open(Other) -> Other.

%%% The table

public() ->
    %% Without the library nothing is known to be public.
    words(?OURS ++ try rendez_nif:public_options() catch error:_ -> [] end).

cluster_options() -> ?OURS ++ try rendez_nif:cluster_options() catch error:_ -> [] end.

words(Atoms) -> maps:from_list([{atom_to_binary(Atom), true} || Atom <- Atoms]).

is_provider(Word) when is_atom(Word); is_binary(Word) ->
    try rendez_nif:is_provider(Word) catch error:_ -> false end;
is_provider([Character | _] = Text) when is_integer(Character) ->
    case as_text(Text) of
        error -> false;
        Binary -> is_provider(Binary)
    end;
is_provider(_) -> false.

text(Key) when is_atom(Key) -> atom_to_binary(Key);
text(Key) -> Key.

%%% Secrets in messages

%% @doc The texts of the options that must not be in a message. `Options' are opened.
-spec texts(term()) -> [binary()].
texts(Options) ->
    Public = public(),
    All = maps:fold(
        fun(Key, Value, Before) when is_atom(Key); is_binary(Key) ->
                case is_map_key(text(Key), Public) of
                    true -> Before;
                    false -> leaves(Value) ++ Before
                end;
           (_, Value, Before) -> leaves(Value) ++ Before
        end, [], to_map(Options)),
    Parts = lists:append([[Text | parts(Text)] || Text <- All]),
    %% The longest first, so that of a URL no more is left than it would be without its parts.
    Sorted = lists:usort([{-byte_size(Text), Text} || Text <- Parts, byte_size(Text) >= ?SHORTEST]),
    [Text || {_, Text} <- Sorted].

to_map(Map) when is_map(Map) -> Map;
to_map(List) -> maps:from_list([Entry || {_, _} = Entry <- proper(List)]).

leaves(Text) when is_binary(Text) -> [Text];
leaves(Word) when is_boolean(Word); Word =:= nil; Word =:= undefined -> [];
leaves(Word) when is_atom(Word) -> [atom_to_binary(Word)];
leaves(Number) when is_integer(Number), abs(Number) > 99_999 -> [integer_to_binary(Number)];
leaves([_ | _] = List) ->
    case as_string(List) of
        error -> lists:append([leaves(Item) || Item <- proper(List)]);
        Text -> [Text]
    end;
leaves(Map) when is_map(Map) -> leaves(maps:values(Map));
%% Of a pair the first is mostly a name.
leaves({Key, Value}) when is_atom(Key) -> leaves(Value);
leaves(Tuple) when is_tuple(Tuple) -> leaves(tuple_to_list(Tuple));
leaves(_) -> [].

%% What of a secret may be told alone: user, password and path of a URL, what its query says, the last word of a header.
parts(Text) ->
    Found = [Part || Pattern <- ["://([^/@]*)@", "://([^/@:]*):?[^/@]*@", "://[^/@:]*:([^/@]*)@", "://[^/]*/([^?#]+)",
                                 "[?&][^=&]*=([^&#]*)", "\\s(\\S+)\\s*$"],
                     {match, Matches} <- [re:run(Text, Pattern, [global, {capture, all_but_first, binary}])],
                     [Part] <- Matches],
    [Part || Part <- Found, byte_size(Part) >= ?SHORTEST].

%% @doc A term, mostly a reason, without those texts, in whatever form they are in it.
-spec redact(term(), [binary()]) -> term().
redact(Term, Texts) -> redact(Term, Texts, ?DEEPEST).

redact(_, [_ | _], 0) -> '...';
redact(Term, [], _) -> Term;
redact(Text, Texts, _) when is_binary(Text) -> hide(Text, Texts);
redact(Word, Texts, _) when is_atom(Word) ->
    case hide(atom_to_binary(Word), Texts) =:= atom_to_binary(Word) of
        true -> Word;
        false -> '...'
    end;
redact(Number, Texts, _) when is_integer(Number) ->
    case lists:member(integer_to_binary(Number), Texts) of
        true -> '...';
        false -> Number
    end;
redact([_ | _] = List, Texts, Depth) ->
    case as_string(List) of
        error -> items(List, Texts, Depth - 1, ?WIDEST);
        Text -> unicode:characters_to_list(hide(Text, Texts))
    end;
redact(Map, Texts, Depth) when is_map(Map) ->
    Entries = lists:sublist(maps:to_list(Map), ?WIDEST),
    maps:from_list([{redact(Key, Texts, Depth - 1), redact(Value, Texts, Depth - 1)} || {Key, Value} <- Entries]);
redact(Tuple, Texts, Depth) when is_tuple(Tuple) ->
    list_to_tuple(items(tuple_to_list(Tuple), Texts, Depth - 1, ?WIDEST));
redact(Other, _, _) -> Other.

items([Head | Tail], Texts, Depth, Left) when Left > 0 ->
    [redact(Head, Texts, Depth) | items(Tail, Texts, Depth, Left - 1)];
items([], _, _, _) -> [];
items([_ | _], _, _, _) -> ['...'];
items(Tail, Texts, Depth, _) -> redact(Tail, Texts, Depth).

hide(Text, Texts) when is_binary(Text) ->
    case [Secret || Secret <- Texts, binary:match(Text, Secret) =/= nomatch] of
        [] -> Text;
        Found -> binary:replace(Text, Found, ?HIDDEN, [global])
    end.

as_string([Character | _] = List) when is_integer(Character) ->
    try lists:all(fun is_integer/1, List) of
        true -> as_text(List);
        false -> error
    catch
        error:_ -> error
    end;
as_string(_) -> error.

as_text(List) ->
    try unicode:characters_to_binary(List) of
        Text when is_binary(Text) -> Text;
        _ -> error
    catch
        error:_ -> error
    end.

%% @doc A stack trace without the arguments of its functions, which are there after `undef' and `function_clause'.
-spec without_arguments([tuple()]) -> [tuple()].
without_arguments(Stack) ->
    [case Entry of
         {Module, Function, Arguments, Place} when is_list(Arguments) -> {Module, Function, length(Arguments), Place};
         _ -> Entry
     end || Entry <- Stack].

%%% The seal

close({rendez_sealed, _, _} = Sealed) -> Sealed;
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
